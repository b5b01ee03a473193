"""Commands about networks that are taken away; `nas.cli` gives them their names."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from nas import options
from nas.spec import DEFAULT_STORAGE
from search_spaces import NasError
from trials.folders import open_path
from trials.recipe import PresetName

Exported = Annotated[str, typer.Argument(metavar="FILE", help="An exported network, or its URL.")]
Source = Annotated[
    str | None,
    typer.Option("--data", metavar="SOURCE", help="Other images, as data.source of a spec; by default its own."),
]
Root = Annotated[str | None, typer.Option(metavar="FOLDER", help="Of torchvision's datasets.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def export(  # noqa: PLR0913, PLR0917
    name: Annotated[str, typer.Argument(help="Name of a search; or an exported .json file, for the other formats.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="A .json file or URL; the weights go beside it.")
    ] = None,
    onnx: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A .onnx file or URL; where images leave at several exits, a file for each."),
    ] = None,
    torch: Annotated[
        str | None, typer.Option(metavar="FILE", help="A .pt2 file for torch.export.load; a file for each exit, too.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="FILE", help="A .py file: the network as source that needs torch alone.")
    ] = None,
    card: Annotated[str | None, typer.Option(metavar="FILE", help="A .md file: a model card.")] = None,
    force: Force = False,
    storage: options.Storage = DEFAULT_STORAGE,
) -> None:
    """Take the winner away: the network as JSON, with its weights; without a file, the JSON on standard output."""
    asked = {"onnx": onnx, "torch": torch, "code": code, "card": card}
    files = {format_: open_path(path) for format_, path in asked.items() if path is not None}
    is_file = name.endswith(".json") and open_path(name).is_file()
    if is_file and (output is not None or not files):
        raise NasError(f"{name} is exported already; choose other formats of it: --onnx, --torch, --code, --card")
    from nas.export import export_winner, load_export, load_winner
    from nas.export_files import check_target, write_export
    from nas.export_formats import make_formats
    from trials.files import write_atomically
    from trials.store import Store

    if is_file:
        made = make_formats(load_export(open_path(name)), files, force=force)
        write_atomically(made)
        typer.echo(f"wrote {', '.join(map(str, made))}")
        return
    with Store(storage) as store:
        if output is None and not files:
            typer.echo(export_winner(store, name)[0].model_dump_json(indent=2))
            return
        target = None if output is None else open_path(output)
        weights = None if target is None else check_target(target, force=force).name
        made = make_formats(load_winner(store, name, weights), files, force=force) if files else {}
        if target is not None:
            write_export(store, name, target, force=force)
            typer.echo(f"wrote {target} and {target.with_suffix('.safetensors')}")
        if made:
            write_atomically(made)
            checked = ", which were checked to give what torch gives" if files.keys() - {"card"} else ""
            typer.echo(f"wrote {', '.join(map(str, made))}{checked}")
        if target is not None:
            typer.echo(f"next: nas verify {target}")


def train(  # noqa: PLR0913, PLR0917
    path: Exported,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .json file; the weights go beside it.")],
    data: Source = None,
    root: Root = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Passes over the training images; by default the recipe's.")
    ] = None,
    preset: Annotated[
        PresetName | None, typer.Option(help="A published recipe in place of the one that the file states.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of first weights, order and augmentation.")] = 0,
    goes_on: Annotated[
        bool, typer.Option("--continue/--from-scratch", help="Begin with the exported weights, or with fresh ones.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where it is trained: cpu, cuda, cuda:1.")] = "cpu",
    force: Force = False,
) -> None:
    """Train an exported network in full, and export what it became. Goes on where it was stopped."""
    from nas.tables import duration
    from nas.train_export import FullTraining, train_export
    from trials.full_training import Epoch

    progress = Console(stderr=True)

    def report(number: int, epoch: Epoch) -> None:
        left = duration(epoch.seconds / epoch.done * (epoch.of - epoch.done))
        progress.print(
            f"network {number + 1}, epoch {epoch.done} of {epoch.of}: loss {epoch.loss:.4f}, validation accuracy "
            f"{epoch.validation_accuracy:.4f}, about {left} left",
            highlight=False,
            soft_wrap=True,
        )

    how = FullTraining(epochs=epochs, preset=preset, seed=seed, goes_on=goes_on, source=data, root=root, device=device)
    try:
        info = train_export(open_path(path), output, how, force=force, report=report)
    except KeyboardInterrupt:
        progress.print("stopped; the same command goes on from the last state", soft_wrap=True)
        raise typer.Exit(130) from None
    typer.echo(f"validation accuracy {info.validation_accuracy.mean:.4f}, test accuracy {info.test_accuracy.mean:.4f}")
    typer.echo(f"wrote {output} and {output.with_suffix('.safetensors')}")
    typer.echo(f"next: nas diff {path} {output}")


def evaluate(
    path: Exported,
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Of the images: train, validation or test.")
    ] = "test",
    data: Source = None,
    root: Root = None,
    as_json: options.AsJson = False,
) -> None:
    """Score an exported network: accuracy, by class, calibration, and where images leave."""
    from nas.evaluate import evaluate_export, print_evaluation

    found = evaluate_export(open_path(path), split=split, source=data, root=root)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_evaluation(Console(), found)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="An exported network.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: options.AsJson = False,
) -> None:
    """Show what differs between two exported networks: costs, accuracy, budget, training, layers."""
    from nas.diff import diff_exports, print_diff

    found = diff_exports(open_path(first), open_path(second))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_diff(Console(), found)


def schema(
    exported: Annotated[bool, typer.Option("--export", help="Of exported networks, not of the spec.")] = False,
) -> None:
    """Print the JSON Schema of the spec, which editors check and complete it by."""
    from nas.schema import export_schema, spec_schema

    typer.echo(json.dumps(export_schema() if exported else spec_schema(), indent=2))
