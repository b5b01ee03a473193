"""The plan as a person reads it."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from nas.planning import Plan
from nas.problem import Candidate
from nas.tables import make_table
from search_spaces import LATENCY, Architecture
from search_spaces.width_groups import find_width_groups

MOST_SHOWN = 40  # networks in the table


def print_plan(console: Console, plan: Plan) -> None:
    """What would be trained, without the time."""
    spec, listing = plan.problem.spec, plan.to_json()
    scaled = [network for network in plan.found.chosen if network.is_scaled]
    compensation = [network for network in plan.found.chosen if network.method.startswith("compensation")]
    others = [network for network in plan.found.chosen if network not in (*scaled, *compensation)]
    drawn = len(compensation) + sum(not network.is_part for network in others)
    console.print(Text.assemble((spec.name, "bold"), f": {_summary(plan, drawn, len(scaled))}"))
    if plan.found.choice:
        counts = ", ".join(f"{count:,} {method}" for method, count in plan.found.feasible.items())
        console.print(f"{counts}; {plan.found.choice}", highlight=False)
    if listing["costs"]:
        _print_costs(console, listing)
    if plan.base.latency_ms is not None:
        _print_latency(console, plan)
    if spec.race is not None:
        rungs = ", ".join(map(str, plan.rungs))
        whole = plan.trainings * spec.train.epochs
        line = f"race: {spec.race.rule}, compared after {rungs} epochs; {plan.epochs:,} epochs of {whole:,} without it"
        console.print(line, highlight=False)
    for line in (*plan.prunings, *plan.dynamics):
        console.print(line, markup=False, highlight=False)
    if compensation or not (scaled or others):
        _print_networks(console, plan, [plan.base, *compensation])
    if scaled:
        _print_scaled(console, plan, scaled if compensation else [plan.base, *scaled])
    if others:
        _print_others(console, plan, others if compensation or scaled else [plan.base, *others])
    if spec.train.confirm:
        console.print(f"then base and front, each with {spec.train.confirm} fresh seeds", highlight=False)


def _summary(plan: Plan, drawn: int, scaled: int) -> str:
    parts = []
    if plan.found.enumerated:
        parts += [f"{plan.found.enumerated:,} networks enumerated", f"{len(plan.found.costs):,} feasible"]
        parts += [f"{drawn} chosen"]
    if scaled:
        parts.append(f"{scaled} networks scaled to the budget")
    made = sum(network.is_part for network in plan.found.chosen)
    if made:
        parts.append(f"{made} trained for dynamic ones" if parts else f"{made} networks trained for dynamic ones")
    if plan.prunings:
        parts.append("more by what prunings find")
    return ", ".join(parts) or "the base alone"


def _print_latency(console: Console, plan: Plan) -> None:
    bound, how = plan.problem.budget.bounds.get(LATENCY), plan.problem.spec.latency
    console.print(
        f"latency: base {plan.base.latency_ms:.4g} ms, {f'bound {bound:.4g} ms' if bound else 'no bound'}; "
        f"{how.average} of 80 batches of {how.batch_size} on {how.device}, one thread",
        highlight=False,
    )


def _print_scaled(console: Console, plan: Plan, networks: Sequence[Candidate]) -> None:
    title = f"to be trained, each with {plan.problem.spec.train.seeds} seeds"
    table = make_table("method", "px", "params", "MACs", "widths", title=title, left=("method", "widths"))
    table.columns[-1].no_wrap = False
    for network in networks:
        costs = f"{network.cost.params:,}", f"{network.cost.macs:,}"
        table.add_row(network.method, str(network.architecture.resolution), *costs, widths_text(network.architecture))
    console.print(table)


def _print_others(console: Console, plan: Plan, networks: Sequence[Candidate]) -> None:
    """Networks whose names say what was chosen."""
    title = f"to be trained, each with {plan.problem.spec.train.seeds} seeds"
    table = make_table(
        "method", "px", "params", "MACs", "activations", title=title, left=("method",), folds=("method",)
    )
    for network in networks[:MOST_SHOWN]:
        costs = [f"{cost:,}" for cost in network.cost.bounded().values()]
        phi = f", phi {network.choice['phi']:.3g}" if network.family == "compound" else ""
        table.add_row(f"{network.method}{phi}", str(network.architecture.resolution), *costs)
    console.print(table)
    _print_left_out(console, networks)


def _print_left_out(console: Console, networks: Sequence[Candidate]) -> None:
    if len(networks) > MOST_SHOWN:
        console.print(f"and {len(networks) - MOST_SHOWN:,} more: --json lists all", highlight=False)


def widths_text(network: Architecture) -> str:
    """Widths of the groups, as 64 128 256x2 512x4."""
    runs = [(width, len(list(same))) for width, same in groupby(find_width_groups(network).widths)]
    return " ".join(f"{width}x{count}" if count > 1 else str(width) for width, count in runs)


def _print_networks(console: Console, plan: Plan, networks: Sequence[Candidate]) -> None:
    spec = plan.problem.spec
    columns = ("approach", "px", "seen", "params", "MACs", "conv1", "then")
    title = f"to be trained, each with {spec.train.seeds} seeds (kernel/stride+padding; seen: share of the columns)"
    table = make_table(*columns, title=title, left=("approach", "conv1", "then"))
    table.columns[-1].no_wrap = False
    for network in networks[:MOST_SHOWN]:
        table.add_row(*_row(network))
    console.print(table)
    _print_left_out(console, networks)


def _print_costs(console: Console, listing: dict[str, Any]) -> None:
    bounds = listing.get("budget")  # of a study each original sets its own
    costs = make_table("", *listing["costs"], title="costs of the feasible networks", left=("",))
    for figure in ("min", "median", "max"):
        costs.add_row(figure, *(f"{column[figure]:,}" for column in listing["costs"].values()))
    if bounds is not None:
        costs.add_row("bound", *(f"{bounds[name]:,}" if name in bounds else "none" for name in listing["costs"]))
    console.print(costs)


def _row(network: Candidate) -> list[str]:
    return [
        network.method.removeprefix("compensation-"),
        str(network.architecture.resolution),
        f"{network.coverage:.0%}",
        f"{network.cost.params:,}",
        f"{network.cost.macs:,}",
        _first_conv(network.choice),
        _behind(network.choice),
    ]


def _first_conv(choice: Mapping[str, int | float]) -> str:
    """conv1 as "30 of 5x5/2+1"."""
    if "conv1_channels" in choice and "conv1_kernel" not in choice:  # of approach I
        return f"{choice['conv1_channels']} filters"
    count = f"{choice['conv1_channels']} of " if "conv1_channels" in choice else ""
    dilation = f", dilation {choice['conv1_dilation']}" if "conv1_dilation" in choice else ""
    return f"{count}{_window(choice, 'conv1')}{dilation}"


def _behind(choice: Mapping[str, int | float]) -> str:
    """What is changed behind conv1."""
    parts = ["pool " + _window(choice, "pool")] if "pool_kernel" in choice else []
    if "conv2_kernel" in choice:
        filters = f"{choice['conv2_channels']} of " if "conv2_channels" in choice else ""
        parts.append(f"conv2 {filters}{_window(choice, 'conv2')}")
    if "hidden_units" in choice:
        parts.append(f"{choice['hidden_units']} units")
    return ", ".join(parts)


def _window(choice: Mapping[str, int | float], layer: str) -> str:
    kernel = f"{choice[f'{layer}_kernel']}x{choice[f'{layer}_kernel']}" if f"{layer}_kernel" in choice else ""
    moved = f"/{choice[f'{layer}_stride']}+{choice[f'{layer}_padding']}" if f"{layer}_stride" in choice else ""
    return kernel + moved
