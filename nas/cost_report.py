"""What a network costs, as JSON and as a person reads it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from nas.networks import load_network
from nas.tables import make_table
from search_spaces import Architecture, NetworkError, count_cost, layer_costs
from search_spaces.conventions import CONVENTIONS, count_total
from search_spaces.receptive_field import receptive_fields
from search_spaces.width_groups import WidthGroups, find_width_groups
from search_spaces.widths import scale_widths, with_widths

_MEANINGS = {
    "params": "",
    "macs": "multiply-adds, one image",
    "flops": "with bias additions (Borji eq. 5)",
    "activation_elements": "largest layer, in + out",
    "peak_activation_elements": "most alive at once",
}


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """A network with its costs, its totals by other counters' conventions, and measured latency."""

    network: str
    architecture: Architecture
    groups: WidthGroups
    convention: Mapping[str, int]
    unused: Mapping[str, int]
    latency: tuple[Mapping[str, Any], ...] = ()  # a measurement for each batch size

    def to_json(self, *, per_layer: bool = False) -> dict[str, Any]:
        """The listing of `nas cost --json`."""
        listing = {
            "network": self.network,
            "resolution": self.architecture.resolution,
            "channels": self.architecture.input[0],
            "output": list(self.architecture.output),
            **count_cost(self.architecture).to_json(),
            "convention": dict(self.convention),
            "width_groups": [asdict(group) for group in self.groups.groups],
            "unused_params": sum(self.unused.values()),
        }
        if self.latency:
            listing["latency"] = [dict(measured) for measured in self.latency]
        if per_layer:
            fields = receptive_fields(self.architecture, gates=False)
            listing["layers"] = [
                {**layer.to_json(), "receptive_field": field.side}
                for layer, field in zip(layer_costs(self.architecture), fields, strict=True)
            ]
        return listing


def make_report(
    network: str,
    *,
    width: float | None = None,
    widths: str | None = None,
    conventions: tuple[str, ...] = (),
    timed: tuple[int | None, str] | None = None,
    **images: Any,
) -> CostReport:
    """Count a network; `images` are resolution, classes, channels and allow_code of `load_network`.

    `timed` is a batch size (None: 1, then 100) and a device on which latency is measured. Raises NetworkError for what
    cannot be, in one line.
    """
    if width is not None and widths is not None:
        raise NetworkError("only one of --width and --widths may be given, but both are")
    named = load_network(network, **images)
    architecture = named.architecture
    if width is not None:
        architecture = scale_widths(architecture, width)
    if widths is not None:
        architecture = with_widths(architecture, _parse_widths(widths))
    names = CONVENTIONS if "all" in conventions else ("nas", *conventions)
    return CostReport(
        network=network,
        architecture=architecture,
        groups=find_width_groups(architecture),
        convention={name: count_total(architecture, name) for name in names},
        unused=named.unused,
        latency=() if timed is None else _measured(architecture, *timed),
    )


def _measured(architecture: Architecture, batch_size: int | None, device: str) -> tuple[Mapping[str, Any], ...]:
    from nas.measured import measure_latencies  # torch

    return tuple(one.to_json() for one in measure_latencies(architecture, batch_size, device))


def _parse_widths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise NetworkError(f"--widths must be integers joined by commas, as in 64,128,256, but got {text!r}") from error


def print_report(console: Console, report: CostReport, *, per_layer: bool = False) -> None:
    """Totals, what the counters say, the widths; and a row a layer, if asked."""
    if per_layer:
        _print_layers(console, report.architecture)
        _print_groups(console, report.groups)
    listing = report.to_json()
    output = " x ".join(map(str, listing["output"]))
    scores = f"{output} classes" if len(listing["output"]) == 1 else f"output {output}"
    console.print(f"{report.network}: {listing['resolution']} px, {scores}", highlight=False, markup=False)
    table = make_table("", "count", "of", left=("", "of"), folds=("", "of"))
    for key, meaning in _MEANINGS.items():
        table.add_row(key, f"{listing[key]:,}", meaning)
    for name, total in report.convention.items():
        if name != "nas":
            table.add_row(f"as {name} counts", f"{total:,}", _ratio(total, listing["macs"]))
    console.print(table)
    for measured in report.latency:
        console.print(_latency_line(measured), highlight=False, markup=False, soft_wrap=True)
    if report.unused:
        parts = sorted({name.partition(".")[0] for name in report.unused})
        count = sum(report.unused.values())
        line = f"not counted: {count:,} parameters that evaluation does not use ({', '.join(parts)})"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    widths = ",".join(str(group.width) for group in report.groups.groups)
    console.print(f"{len(report.groups.groups)} width groups: {widths}", soft_wrap=True, highlight=False)


def _latency_line(measured: Mapping[str, Any]) -> str:
    return (
        f"latency of a batch of {measured['batch_size']}: median {measured['median_ms']:.2f} ms, mean "
        f"{measured['mean_ms']:.2f} ms; {measured['device']}, threads: {measured['threads']}"
    )


def _ratio(total: int, macs: int) -> str:
    return f"{total / macs:.4f} x macs" if macs else ""


def _print_groups(console: Console, groups: WidthGroups) -> None:
    columns = ("width group", "width", "multiple of", "layers")
    table = make_table(*columns, left=("width group",), folds=("width group", "layers"))
    for group in groups.groups:
        table.add_row(group.name, str(group.width), str(group.divisor), str(len(group.layers)))
    console.print(table)


def _print_layers(console: Console, architecture: Architecture) -> None:
    """A row a layer; "sees" is its receptive field in pixels of the image, what gates let through aside."""
    table = make_table("layer", "output", "params", "MACs", "in + out", "sees", left=("layer",), folds=("layer",))
    fields = receptive_fields(architecture, gates=False)
    for layer, field in zip(layer_costs(architecture), fields, strict=True):
        counts = (f"{count:,}" for count in (layer.params, layer.macs, layer.activation_elements))
        table.add_row(layer.name, " x ".join(map(str, layer.shape)), *counts, f"{field.side} px")
    console.print(table)
