"""The plan as a person reads it."""

from typing import Any

from rich.console import Console

from nas.plan import Plan
from nas.problem import Candidate
from nas.tables import make_table
from search_spaces import LATENCY


def print_plan(console: Console, plan: Plan) -> None:
    """What would be trained, without the time."""
    spec, listing = plan.problem.spec, plan.to_json()
    console.print(
        f"[bold]{spec.name}[/]: {listing['enumerated']:,} networks enumerated, {listing['feasible']:,} feasible, "
        f"{len(plan.found.chosen)} chosen"
    )
    if listing["costs"]:
        _print_costs(console, listing)
    if plan.base.latency_ms is not None:
        bound, how = plan.problem.budget.bounds[LATENCY], spec.latency
        console.print(
            f"latency: base {plan.base.latency_ms:.4g} ms, bound {bound:.4g} ms; median of 80 batches of "
            f"{how.batch_size} on {how.device}, one thread",
            highlight=False,
        )
    columns = ("method", "px", "params", "MACs", "conv1", "conv2")
    if spec.race is not None:
        rungs = ", ".join(map(str, plan.rungs))
        whole = plan.trainings * spec.train.epochs
        line = f"race: {spec.race.rule}, compared after {rungs} epochs; {plan.epochs:,} epochs of {whole:,} without it"
        console.print(line, highlight=False)
    title = f"to be trained, each with {spec.train.seeds} seeds (convs: kernel / stride + padding)"
    table = make_table(*columns, title=title, left=("method", "conv1", "conv2"))
    for network in plan.networks:
        table.add_row(*_row(network))
    console.print(table)
    if spec.train.confirm:
        console.print(f"then base and front, each with {spec.train.confirm} fresh seeds", highlight=False)


def _print_costs(console: Console, listing: dict[str, Any]) -> None:
    bounds = listing["budget"]
    costs = make_table("", *listing["costs"], title="costs of the feasible networks", left=("",))
    for figure in ("min", "median", "max"):
        costs.add_row(figure, *(f"{column[figure]:,}" for column in listing["costs"].values()))
    costs.add_row("bound", *(f"{bounds[name]:,}" if name in bounds else "none" for name in listing["costs"]))
    console.print(costs)


def _row(network: Candidate) -> list[str]:
    choice, cost = network.choice, network.cost
    conv1 = conv2 = ""
    if choice:
        conv1, conv2 = (
            "{0}x{0} / {1} + {2}".format(*(choice[f"{conv}_{value}"] for value in ("kernel", "stride", "padding")))
            for conv in ("conv1", "conv2")
        )
        conv1 = f"{choice['conv1_channels']} of {conv1}"
    return [
        network.method,
        str(network.architecture.resolution),
        f"{cost.params:,}",
        f"{cost.macs:,}",
        conv1,
        conv2,
    ]
