"""Lists every network that costs as much as the base at a higher resolution: what `nas solve` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.console import Console

from nas.compensation import equality, find_resolutions, ranges_of, solve_approach
from nas.method_spec import CompensationSpec
from nas.problem import Problem, make_problem
from nas.spec import Spec
from nas.spec_errors import SpecError, explain
from nas.tables import make_table
from search_spaces import COUNTS, Solutions, count_cost, count_coverages, pooled_side

# the paper's symbols
SYMBOLS = {
    "resolution": "N", "channels1": "K1", "kernel1": "C1", "stride1": "S1", "padding1": "P1", "dilation1": "D1",
    "pool_kernel": "Cp", "pool_stride": "Sp", "pool_padding": "Pp", "filters2": "K2", "kernel2": "C2", "stride2": "S2",
    "padding2": "P2", "units": "Z1",
}  # fmt: skip
MOST_SHOWN = 200  # networks in a table
# what the paper has, where neither the spec nor the command says otherwise
PAPER = {"scope": "layer", "tolerance": 0.0}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The solutions of every approach with their coverages [T] and whether they keep the spec's budget [T]."""

    problem: Problem
    settings: CompensationSpec
    found: Sequence[tuple[Solutions, NDArray[np.float64], NDArray[np.bool_]]]

    @property
    def count(self) -> int:
        """Of all approaches."""
        return sum(len(solutions) for solutions, _, _ in self.found)

    def rows(self) -> list[dict[str, Any]]:
        """One a network, under the paper's symbols: values, costs, coverage."""
        return [
            {"approach": solutions.approach, **self._row(solutions, index), "coverage": share, "within_budget": within}
            for solutions, shares, fits in self.found
            for index, share, within in zip(range(len(solutions)), _rounded(shares), fits.tolist(), strict=True)
        ]

    def _row(self, solutions: Solutions, index: int) -> dict[str, int]:
        row = solutions.row(index)
        pooled = {"U": self._pooled_sides[row["resolution"]]} if solutions.approach == "I" else {}
        return {SYMBOLS.get(name, name): value for name, value in row.items()} | pooled

    @cached_property
    def _pooled_sides(self) -> dict[int, int]:
        """By resolution, side U of the map that approach I pools."""
        sides = {
            int(side) for found, _, _ in self.found if found.approach == "I" for side in found.columns["resolution"]
        }
        return {side: pooled_side(self.problem.base.architecture, side) for side in sides}

    def to_json(self) -> dict[str, Any]:
        """What `nas solve --json` prints."""
        settings = self.settings
        return {
            "approaches": list(settings.approaches),
            "keep": list(settings.keep),
            "scope": settings.scope,
            "tolerance": settings.tolerance,
            "two_sided": settings.two_sided,
            "base": self.problem.base.to_json(),
            "count": self.count,
            "solutions": self.rows(),
        }


def list_solutions(spec: Spec, asked: Mapping[str, Any], *, allow_code: bool = False) -> Listing:
    """All networks of the spec's approaches, or of those asked for, that cost as much as the base.

    `asked` are fields of `CompensationSpec` that take the place of the spec's; what neither says is the paper's: equal
    costs of the edited layers. Only what is kept binds: the spec's budget is not applied, but shown. Raises SpecError.
    """
    counted = spec.budget.model_copy(update={"latency_ms": None})  # nothing is measured here
    problem = make_problem(spec.model_copy(update={"budget": counted}), allow_code=allow_code)
    method = spec.methods[0].model_dump(exclude_unset=True) if spec.methods else {"name": "compensation"}
    values = {**PAPER, **method, **{name: value for name, value in asked.items() if value is not None}}
    try:
        settings = CompensationSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(explain(error, CompensationSpec)) from error
    if not settings.keep:
        bounded = [name for name in ("params", "macs") if name in problem.budget.bounds]
        if not bounded:
            raise SpecError("what is kept must be said, as neither budget nor methods name params or macs; add --keep")
        settings = settings.model_copy(update={"keep": tuple(bounded)})
    base, resolutions = problem.base.architecture, find_resolutions(problem, settings)
    found = []
    for approach in settings.approaches:
        kept = equality(problem, settings, approach, bounds={})
        solutions = solve_approach(base, approach, resolutions, kept, ranges_of(settings))
        shares = count_coverages(base, solutions)
        solutions, order = _in_order(solutions, shares)
        found.append((solutions, shares[order], _within(problem, solutions)))
    return Listing(problem=problem, settings=settings, found=found)


def _in_order(solutions: Solutions, shares: NDArray[np.float64]) -> tuple[Solutions, NDArray[np.int64]]:
    """By resolution, then coverage; approach II, which skips pixels, by coverage first."""
    keys = (-shares, solutions.columns["resolution"])
    order = np.lexsort(keys[::-1] if solutions.approach == "II" else keys)
    return solutions.taken(order), order


def _within(problem: Problem, solutions: Solutions) -> NDArray[np.bool_]:
    fits = np.ones(len(solutions), bool)
    for name, bound in problem.budget.bounds.items():
        fits &= solutions.columns[name] <= bound
    return fits


def _rounded(shares: NDArray[np.float64]) -> list[float]:
    return [round(share, 4) for share in shares.tolist()]


def print_solutions(console: Console, listing: Listing) -> None:
    """A table for each approach."""
    settings, base = listing.settings, listing.problem.base.architecture
    cost = count_cost(base)
    counted = "the edited layers'" if settings.scope == "layer" else "the whole network's"
    how = "exactly" if not settings.tolerance else f"within {settings.tolerance:.4g}"
    sides = " on both sides" if settings.tolerance and settings.two_sided else ""
    console.print(
        f"base: {base.resolution} px, {cost.params:,} params, {cost.macs:,} MACs, {cost.flops:,} FLOPs, "
        f"{cost.activation_elements:,} activation elements",
        highlight=False,
    )
    console.print(f"kept: {counted} {', '.join(settings.keep)}, {how}{sides}", highlight=False)
    console.print("seen: share of the image's columns, and rows; over: above the spec's budget", highlight=False)
    for solutions, shares, fits in listing.found:
        if not len(solutions):
            console.print(f"approach {solutions.approach}: none; a tolerance, as --tolerance 0.01, lets more in")
            continue
        values = [SYMBOLS[name] for name in solutions.free]
        title = f"approach {solutions.approach}: {len(solutions):,} networks"
        table = make_table(*values, "params", "MACs", "activ.", "seen", "", title=title)
        for index, (share, fit) in enumerate(zip(shares[:MOST_SHOWN], fits[:MOST_SHOWN], strict=True)):
            row = solutions.row(index)
            costs = (f"{row[name]:,}" for name in COUNTS if name != "flops")
            over = "" if fit else "over"
            table.add_row(*(str(row[name]) for name in solutions.free), *costs, f"{share:.0%}", over)
        console.print(table)
        if len(solutions) > MOST_SHOWN:
            console.print(f"and {len(solutions) - MOST_SHOWN:,} more: --json lists all", highlight=False)
