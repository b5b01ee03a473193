"""The plan as a person reads it."""

from rich import box
from rich.console import Console
from rich.table import Table

from nas.plan import Plan


def duration(seconds: float) -> str:
    """Seconds as 45 s, 3 min 10 s or 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def print_plan(console: Console, plan: Plan) -> None:
    """What would be trained, without the time."""
    spec, listing = plan.problem.spec, plan.to_json()
    jobs = len(plan.training_jobs())
    console.print(
        f"[bold]{spec.name}[/]: {listing['enumerated']:,} networks enumerated, {listing['feasible']:,} feasible, "
        f"{len(plan.found.chosen)} chosen; with the base and {spec.train.seeds} seeds {jobs} trainings"
    )
    costs = Table(
        "",
        *listing["costs"],
        box=box.SIMPLE_HEAD,
        title="cost of the feasible networks",
        title_justify="left",
    )
    for figure in ("min", "median", "max"):
        costs.add_row(figure, *(f"{column[figure]:,}" for column in listing["costs"].values()))
    bounds = listing["budget"]
    costs.add_row("bound", *(f"{bounds[name]:,}" if name in bounds else "none" for name in listing["costs"]))
    for column in costs.columns[1:]:
        column.justify = "right"
    console.print(costs)
    table = Table(box=box.SIMPLE_HEAD, title="to be trained", title_justify="left")
    for name in ("method", "px", "params", "MACs", "conv1", "conv2"):
        table.add_column(name, justify="left" if name in ("method", "conv1", "conv2") else "right")
    for network in plan.networks:
        choice, cost = network.choice, network.cost
        convs = [
            f"{choice[f'{conv}_kernel']}x{choice[f'{conv}_kernel']} / {choice[f'{conv}_stride']} "
            f"+ {choice[f'{conv}_padding']}"
            for conv in ("conv1", "conv2")
        ]
        table.add_row(
            network.method,
            str(network.architecture.resolution),
            f"{cost.params:,}",
            f"{cost.macs:,}",
            f"{choice['conv1_channels']} of {convs[0]}",
            convs[1],
        )
    console.print(table)
    console.print("[dim]convs: kernel / stride + padding[/]")
