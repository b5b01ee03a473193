"""A running search and its front as a person sees them."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from dashboards import Front, Score, ScoredNetwork, StudyRow, make_study_rows
from dashboards.study import Estimate
from nas.progress import Progress, found_so_far, progress_line, progress_step, time_left
from nas.tables import make_table, short_number
from search_spaces import LATENCY


class ProgressView:
    """A bar in a terminal; elsewhere, as in a log file, one line for each finished tenth."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[found]}"),
            TextColumn("[dim]{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("training", found="", left="starting workers")
        self._shown = ("", -1)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def update(self, progress: Progress) -> None:
        """Show where the search stands."""
        shown = progress.to_json()
        self._bar.update(
            self._task,
            description=progress.stage,
            completed=progress.done,
            total=progress.total,
            found=found_so_far(shown),
            left=time_left(shown),
        )
        if not self._console.is_terminal and progress_step(shown) != self._shown:
            self._shown = progress_step(shown)
            self._console.print(progress_line(shown), highlight=False, soft_wrap=True)


def score_text(score: Score, plus_minus: str = " ± ") -> str:
    """Mean and spread, as 0.9531 ± 0.0042."""
    spread = "" if score.std is None else f"{plus_minus}{score.std:.4f}"
    return f"{score.mean:.4f}{spread}"


def print_front(console: Console, front: Front) -> None:
    """The front with the base above it, then the winner's test figures."""
    state = "" if front.complete else ", not finished"
    if front.study:
        console.print(
            f"{front.name}: a study of {front.trained} trained networks{state}", markup=False, highlight=False
        )
        _print_failed(console, front)
        print_study(console, make_study_rows(front.study))
        return
    images = "".join(f", {network.validation.images:,} validation images" for network in front.front[:1])
    shown = (
        f"{front.trained} networks, accuracy in %"
        if front.compares
        else f"base and front of {front.trained} trained networks"
    )
    title = f"{front.name}: {shown}{images}{state}"
    table = make_table(*_columns(front), title=title, left=("method", ""), folds=("method",))
    on_front = {network.id for network in front.front}
    base = () if front.base is None or front.base.id in on_front else (front.base,)
    left = [network for network in front.networks if network.id not in {one.id for one in base}]
    for network in (*base, *(left if front.compares else front.front)):
        winner = front.winner is not None and network.id == front.winner.id
        if winner:
            mark = "winner" if front.complete else "leads"
        else:
            mark = "" if network.feasible else "over" if front.compares else "over budget"
        if front.compares and not mark and network.id in on_front:
            mark = "front"
        table.add_row(*_row(front, network), mark, style="bold" if winner else "" if network.feasible else "dim")
    console.print(table)
    _print_failed(console, front)
    if front.data.get("descents", {}).get("neuralscale", {}).get("iterations"):
        count = len(front.data["descents"]["neuralscale"]["iterations"])
        what = "1 iteration" if count == 1 else f"{count} iterations"
        console.print(f"neuralscale: {what}; nas descent {front.name} shows more", markup=False, highlight=False)
    _print_verdict(console, front)


def _print_failed(console: Console, front: Front) -> None:
    for cause, count in Counter(training.cause for training in front.failed).items():
        first = next(training for training in front.failed if training.cause == cause)
        kind = "pruning" if first.pruning else "training"
        example = f"{'e.g. ' if count > 1 else ''}seed {first.seed} at {first.resolution} px"
        line = f"{count} {kind}{'' if count == 1 else 's'} failed ({example}): {cause}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _columns(front: Front) -> tuple[str, ...]:
    """At most 80 characters."""
    fresh = any(network.confirmed for network in front.networks)
    if front.compares:
        accuracies = ("validation", "fresh", "test") if fresh else ("validation", "test")
        return ("method", "px", "params", "MACs", *(("ms",) if _is_timed(front) and not fresh else ()), *accuracies, "")
    costs = ("method", "px", "params", "MACs", *(("ms",) if _is_timed(front) else ()))
    return (*costs, "validation", "fresh seeds", "") if fresh else (*costs, "validation accuracy", "seconds", "")


def _is_timed(front: Front) -> bool:
    return any(LATENCY in network.costs for network in front.networks)


def _row(front: Front, network: ScoredNetwork) -> list[str]:
    fresh = any(one.confirmed for one in front.networks)
    latency = [f"{network.costs[LATENCY]:.4g}"] if _is_timed(front) else []
    if front.compares:
        scores = (network.validation, *((network.confirmed,) if fresh else ()), network.test)
        costs = [short_number(network.costs[name], digits=4) for name in ("params", "macs")]
        accuracies = [percent(score) if score else "" for score in scores]
        return [network.method, str(network.resolution), *costs, *([] if fresh else latency), *accuracies]
    last = f"{network.seconds:.1f}"
    if fresh:
        last = score_text(network.confirmed, plus_minus="±") if network.confirmed else ""
    return [
        network.method,
        str(network.resolution),
        f"{network.costs['params']:,}",
        f"{network.costs['macs']:,}",
        *latency,
        score_text(network.validation, plus_minus="±" if fresh else " ± "),
        last,
    ]


def percent(score: Score) -> str:
    """Mean and spread, as 95.3±0.4."""
    return f"{100 * score.mean:.1f}" + ("" if score.std is None else f"±{100 * score.std:.1f}")


def _print_verdict(console: Console, front: Front) -> None:
    if front.winner is None:
        reason = "its front waits for trainings with fresh seeds" if front.unconfirmed else "none has all its seeds yet"
        console.print(f"no winner among the networks within the budget yet: {reason}", markup=False)
        return
    seeds = len(front.winner.final.by_seed)
    base_wins = front.base is not None and front.winner.id == front.base.id
    if base_wins and front.complete:
        console.print("no candidate beats the base on validation: the base itself is the winner")
    for label, network in (("winner", front.winner), ("base", None if base_wins else front.base)):
        if network is not None and network.test is not None:
            console.print(
                f"test accuracy of the {label}, {network.resolution} px: {score_text(network.test)} "
                f"({seeds} seed{'s' * (seeds > 1)}, {network.test.images:,} images)",
                highlight=False,
            )


def print_study(console: Console, rows: Sequence[StudyRow]) -> None:
    """For each approach and resolution: originals, their solutions, the one that validation chose; all on test."""
    title = "test accuracy in %, over n originals; gain of the chosen ± standard error"
    columns = ("approach", "px", "n", "original", "solutions", "chosen", "gain", "params", "MACs")
    table = make_table(*columns, title=title, left=("approach",))
    for row in rows:
        error = "" if row.gain_of_chosen.error is None else f"±{100 * row.gain_of_chosen.error:.1f}"
        table.add_row(
            row.method.removeprefix("compensation-"),
            str(row.resolution),
            str(row.originals),
            *(_percent(value) for value in (row.original, row.mean_of_solutions, row.chosen)),
            f"{100 * row.gain_of_chosen.mean:+.1f}{error}",
            f"{row.params:.2f}x",
            f"{row.macs:.2f}x",
        )
    console.print(table)


def _percent(value: Estimate) -> str:
    return f"{100 * value.mean:.1f}" + ("" if value.std is None else f"±{100 * value.std:.1f}")
