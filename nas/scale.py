"""Widths for a budget from a stored fit: what `nas scale` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, isfinite
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.networks import load_network
from nas.problem import parse_bound
from nas.tables import make_table
from nas.texts import TextError, read_json
from search_spaces import BudgetError, NetworkError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.power_law import PowerLaw
from search_spaces.scaling import Scaled, scale_to
from search_spaces.width_groups import WidthGroups

OPTIONS = {"params": "--params", "macs": "--macs", "activation_elements": "--activation"}


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A network's groups, the law, and the widths that meet the bounds."""

    network: str
    groups: WidthGroups
    law: PowerLaw
    bounds: Mapping[str, int]
    scaled: Scaled


def scale_network(
    network: str,
    fit: Path,
    bounds: Mapping[str, str | None],
    *,
    multiple: int = 1,
    floors: int = 1,
    images: Mapping[str, Any] | None = None,
) -> Scaling:
    """Scale a network along the fit of a file to bounds as people write them (0.58M, 1.5x), by the names of `COSTS`.

    `images` are resolution, classes, channels and allow_code of `load_network`. Raises NetworkError, BudgetError.
    """
    law = read_fit(fit)
    architecture = load_network(network, **(images or {})).architecture
    base = count_cost(architecture).bounded()
    resolved = {name: _resolve(name, text, base[name]) for name, text in bounds.items() if text is not None}
    if not resolved:
        raise BudgetError(f"a budget must bound something; add one or more of {', '.join(OPTIONS.values())}")
    batch = BatchCost(architecture)
    scaled = scale_to(batch, law, resolved, floors=floors, multiple=multiple)
    return Scaling(network=network, groups=batch.groups, law=law, bounds=resolved, scaled=scaled)


def read_fit(path: Path) -> PowerLaw:
    """The law that a JSON file holds."""
    try:
        data = read_json(path, "a fit must be a readable JSON file")
    except TextError as error:
        raise NetworkError(str(error)) from error
    try:
        return PowerLaw.from_json(data)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from error


def _resolve(name: str, text: str, base: int) -> int:
    try:
        bound = floor(parse_bound(text, base))
    except ValueError as error:
        raise BudgetError(f"{OPTIONS[name]} {error}, or 1.5x, but got {text!r}") from error
    if bound < 1:
        raise BudgetError(f"{OPTIONS[name]} must be at least 1, but {text} of the network's {base} is {bound}")
    return bound


def print_scaling(console: Console, scaling: Scaling) -> None:
    """A row for each group, then the costs and where tau stands."""
    scaled = scaling.scaled
    table = make_table("width group", "width", "the network's", left=("width group",), folds=("width group",))
    for group, width in zip(scaling.groups.groups, scaled.widths, strict=True):
        table.add_row(group.name, str(width), str(group.width))
    console.print(table)
    for name, cost in scaled.costs.items():
        console.print(f"{cost:,} {name.replace('_', ' ')}{_of_bound(scaling, name)}", highlight=False)
    number = f"{scaled.tau:,.0f}" if isfinite(scaled.tau) else "beyond all numbers, of"
    tau = f"tau {number} {scaling.law.cost.replace('_', ' ')}"
    console.print(f"{tau}, {_recorded(scaling)}", highlight=False)


def _of_bound(scaling: Scaling, name: str) -> str:
    if name not in scaling.bounds:
        return ""
    binds = ", binds" if name == scaling.scaled.binding else ""
    return f", {scaling.scaled.shares[name]:.2%} of {scaling.bounds[name]:,}{binds}"


def _recorded(scaling: Scaling) -> str:
    if scaling.law.tau_range is None:
        return "the fit does not say which were recorded"
    low, high = (f"{tau:,.0f}" for tau in scaling.law.tau_range)
    return f"{'outside of' if scaling.scaled.extrapolated else 'within'} the recorded {low} to {high}"
