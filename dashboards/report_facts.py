"""Words and facts of a report that all its forms share, and its form in Markdown."""

from collections.abc import Iterator, Sequence

from dashboards.layers import said_shape
from dashboards.look import COST_NAMES
from dashboards.note import fenced, make_note
from dashboards.report import Drawing, Report
from dashboards.scored import Score, ScoredNetwork
from dashboards.study import Estimate, Gain
from trials.source_facts import public_name


def said_percent(score: Score | Estimate) -> str:
    """Mean and sample standard deviation in percent."""
    return f"{100 * score.mean:.2f}" + ("" if score.std is None else f" ± {100 * score.std:.2f}")


def said_gain(gain: Gain) -> str:
    """Mean and standard error in points of percent."""
    return f"{100 * gain.mean:+.2f}" + ("" if gain.error is None else f" ± {100 * gain.error:.2f}")


def summary_of(report: Report) -> str:
    """What was searched, in a sentence or two."""
    spec, front = report.search.spec, report.front
    methods = ", ".join(method["name"] for method in spec["methods"]) or "the base alone"
    state = "" if front.complete else " The search is not finished."
    hours = report.training_seconds / 3600
    return (
        f"{front.trained} trained networks ({methods}) on {public_name(spec['data']['source'])}; "
        f"{hours:.2g} hours of training in all.{state}"
    )


def facts_of(report: Report) -> list[tuple[str, str]]:
    """Images, split, seeds and versions: what changes numbers, by name."""
    search = report.search
    spec, data = search.spec, search.data
    train, split = spec["train"], spec["data"]["split"]
    fresh = train.get("confirm", 0)
    first = ", ".join(map(str, range(train["seeds"])))
    later = ", ".join(map(str, range(train["seeds"], train["seeds"] + fresh)))
    return [
        ("images", ", ".join(f"{count:,} {name}" for name, count in data["sizes"].items())),
        ("fingerprint of the images", data["fingerprint"]),
        ("fingerprint of the split", data["split_fingerprint"]),
        ("seeds of trainings", f"{first} to find networks" + (f", {later} to judge base and front" if fresh else "")),
        ("other seeds", f"{spec['search']['seed']} of the choice of candidates, {split['seed']} of the split"),
        ("precision", data.get("precision", "fp32")),
        ("versions", ", ".join(f"{name} {version}" for name, version in search.versions.items())),
    ]


def report_markdown(report: Report, spec_text: str) -> str:
    """The report in Markdown: all tables, no figures."""
    return "\n".join(_markdown(report, spec_text)) + "\n"


def _markdown(report: Report, spec_text: str) -> Iterator[str]:
    front = report.front
    yield make_note(report.search, front)
    if report.picks:
        yield from ("", "## Picks")
        for pick in report.picks:
            found = _named(pick.network) if pick.network else f"none: {pick.reason}"
            yield f"- **{pick.name}** ({pick.rule}): {_cell(found)}"
    if report.study:
        yield from ("", "## Study", "")
        rows = [
            (
                r.method,
                r.resolution,
                r.originals,
                said_percent(r.original),
                said_percent(r.chosen),
                said_gain(r.gain_of_chosen),
            )
            for r in report.study
        ]
        yield from _table(("approach", "px", "originals", "original", "chosen", "gain ± standard error"), rows)
    yield from ("", "## Networks", "", "Accuracies in %: mean ± sample standard deviation over seeds.", "")
    yield from _table(_COLUMNS, [_row(report, network) for network in front.networks])
    for drawing in report.drawings:
        stage = f", network {drawing.stage} of {len(report.drawings)}" if drawing.stage else ""
        yield from ("", f"## The winner's layers{stage}", "", *_layers(drawing))
    yield from ("", "## Repeat it", "", *fenced("console", "\n".join(report.commands)), "")
    yield from (f"- **{name}**: {_cell(value)}" for name, value in facts_of(report))
    yield from ("", *fenced("yaml", spec_text))


_COLUMNS = ("method", "px", "params", "MACs", "activation", "validation", "fresh seeds", "test", "")


def _row(report: Report, network: ScoredNetwork) -> tuple[object, ...]:
    front = report.front
    winner = front.winner is not None and network.id == front.winner.id
    on_front = any(network.id == one.id for one in front.front)
    mark = "winner" if winner else "over budget" if not network.feasible else "front" if on_front else ""
    costs = (f"{network.costs[name]:,.0f}" for name in ("params", "macs", "activation_elements"))
    scores = (said_percent(one) if one else "" for one in (network.validation, network.confirmed, network.test))
    return (network.method, network.resolution, *costs, *scores, mark)


def _named(network: ScoredNetwork) -> str:
    costs = ", ".join(f"{network.costs[name]:,.0f} {COST_NAMES[name]}" for name in ("params", "macs"))
    return f"{network.method}, {network.resolution} px, {costs}; {said_percent(network.final)} %"


def _layers(drawing: Drawing) -> Iterator[str]:
    yield from _table(
        ("layer", "name", "then", "reads", "output", "params", "MACs"),
        [
            (
                row.label,
                row.name,
                row.then,
                ", ".join("image" if i < 0 else drawing.rows[i].name for i in row.reads),
                said_shape(row.shape),
                f"{row.params:,}",
                f"{row.macs:,}",
            )
            for row in drawing.rows
        ],
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _cell(value: object) -> str:
    """One line in which nothing ends a cell or is HTML."""
    text = " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
