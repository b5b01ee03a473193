"""Commands about networks and their widths; `nas.cli` gives them their names."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import nas
from nas import options
from nas.spec import DEFAULT_STORAGE
from search_spaces import NasError


def cost(  # noqa: PLR0913, PLR0917
    network: options.Network,
    width: Annotated[float | None, typer.Option(help="Multiply all widths.")] = None,
    widths: Annotated[str | None, typer.Option(help="One width a group, joined by commas.")] = None,
    resolution: options.Resolution = None,
    classes: options.Classes = None,
    channels: options.Channels = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="A row for every layer, also what it sees of the image.")
    ] = False,
    convention: options.Conventions = None,
    latency: Annotated[bool, typer.Option("--latency", help="Measure a forward pass, too.")] = False,
    batch_size: options.BatchSize = None,
    device: Annotated[str, typer.Option(help="Where latency is measured.")] = "cpu",
    allow_code: options.AllowCode = False,
    as_json: options.AsJson = False,
) -> None:
    """Count what a network costs, exactly, at any width and resolution."""
    from nas.cost_report import print_report

    if not latency and (batch_size, device) != (None, "cpu"):
        raise NasError("--batch-size and --device are for --latency, which is not asked for; add it or leave them out")
    report = nas.cost(
        network,
        width=width,
        widths=widths,
        conventions=convention or (),
        resolution=resolution,
        classes=classes,
        channels=channels,
        latency=latency,
        batch_size=batch_size,
        device=device,
        allow_code=allow_code,
    )
    if as_json:
        typer.echo(json.dumps(report.to_json(per_layer=per_layer), indent=2))
    else:
        print_report(Console(), report, per_layer=per_layer)


def scale(  # noqa: PLR0913, PLR0917
    network: options.Network,
    fit: options.Fit,
    params: options.Bound = None,
    macs: options.Bound = None,
    activation: options.Bound = None,
    resolution: options.Resolution = None,
    classes: options.Classes = None,
    channels: options.Channels = None,
    multiple: options.Multiple = 1,
    floor: options.Floor = 1,
    allow_code: options.AllowCode = False,
    as_json: options.AsJson = False,
) -> None:
    """Widths that meet a budget along a fit of NeuralScale's, at once."""
    from nas.scale import print_scaling, scale_network

    scaling = scale_network(
        network,
        fit,
        {"params": params, "macs": macs, "activation_elements": activation},
        multiple=multiple,
        floors=floor,
        images={"resolution": resolution, "classes": classes, "channels": channels, "allow_code": allow_code},
    )
    if as_json:
        typer.echo(json.dumps(scaling.scaled.to_json(), indent=2))
    else:
        print_scaling(Console(), scaling)


def descent(
    name: options.Name,
    fit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the law of an iteration, for nas scale.")
    ] = None,
    iteration: Annotated[int | None, typer.Option(help="Of which iteration; by default the last.")] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw widths and laws as an .html file.")] = None,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show NeuralScale's iterations in a search: the fits, and the widths that they lead to."""
    from nas.show_descent import draw_descent, print_descent, read_descent, write_fit

    if iteration is not None and fit is None:
        raise NasError("--iteration is for --fit, which is not asked for; add it or leave it out")
    found = read_descent(name, storage)
    if fit is not None:
        write_fit(found, iteration, fit)
    if draw is not None:
        draw_descent(found, draw)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    print_descent(Console(), found)
    for path in (fit, draw):
        if path is not None:
            typer.echo(f"wrote {path}")


def grid(
    name: options.Name,
    draw: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw tables and trade-offs as .html.")] = None,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show what resolution does in a search: input against internal, ways to feed, width against resolution, costs."""
    from nas.show_grid import draw_grid, print_grid, read_grid

    points = read_grid(name, storage)
    if draw is not None:
        draw_grid(points, name, draw)
    if as_json:
        typer.echo(json.dumps([point.to_json() for point in points], indent=2))
        return
    print_grid(Console(), points)
    if draw is not None:
        typer.echo(f"wrote {draw}")


def dynamic(
    name: options.Name,
    macs: Annotated[
        str | None, typer.Option(metavar="N", help="The most accurate thresholds at so many expected MACs, as 2M.")
    ] = None,
    accuracy: Annotated[
        float | None, typer.Option(metavar="SHARE", help="The cheapest thresholds of this validation accuracy.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw accuracy against MACs as .html.")] = None,
    as_json: options.AsJson = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Show MSNets and cascades of a search: thresholds, what each exit answers, accuracy against expected MACs."""
    from nas.show_dynamic import draw_dynamic, grant, load_dynamic, print_dynamic, print_granted, read_wish

    wish = read_wish(macs, accuracy)
    found = load_dynamic(name, storage, scores=wish is not None or draw is not None)
    granted = grant(found, wish) if wish else []
    if draw is not None:
        draw_dynamic(found, draw)
    if as_json:
        typer.echo(json.dumps(granted if wish else [one.to_json() for one in found.networks], indent=2))
        return
    if wish:
        print_granted(Console(), granted, wish)
    else:
        print_dynamic(Console(), found)
    if draw is not None:
        typer.echo(f"wrote {draw}")
