"""What optuna-dashboard says of a search, in Markdown: what was searched, the budget, the winner, how to export it."""

import re
import shlex

from dashboards.front import Front
from dashboards.points import bounds_of
from dashboards.scored import Score, ScoredNetwork
from trials.records import StoredSearch
from trials.source_facts import public_name


def make_note(search: StoredSearch, front: Front) -> str:
    """The note of a search as far as it has come; names in it cannot be links, pictures or HTML."""
    spec, sizes = search.spec, search.data["sizes"]
    methods = ", ".join(method["name"] for method in spec["methods"]) or "the base alone"
    images = ", ".join(f"{count:,} {_plain(split)}" for split, count in sizes.items())
    train, fresh = spec["train"], spec["train"].get("confirm", 0)
    seeds = f"{train['seeds']} seeds" + (f", then base and front with {fresh} fresh ones" if fresh else "")
    lines = [
        f"## {_plain(search.name)}",
        f"- **Searched**: {_plain(methods)}; {len(search.networks)} networks, {train['epochs']} epochs, {seeds}",
        f"- **Images**: {_plain(public_name(spec['data']['source']))} ({images})",
        f"- **Budget**: {_budget(front)}",
        f"- **Trained**: {front.trained} networks{'' if front.complete else ', not finished'}",
        *([] if front.study else _winner(front)),
        "",
        *_next(search, front),
    ]
    return "\n".join(lines)


def _budget(front: Front) -> str:
    bounds = bounds_of(front)
    if front.study:
        return "of each original its own"
    said = ", ".join(f"{name} ≤ {value:,.12g}" for name, value in bounds.items())
    return said or "known when the base is trained"


def _winner(front: Front) -> list[str]:
    lines = []
    for label, network in (("Winner", front.winner), ("Base", front.base)):
        if network is None:
            lines.append(f"- **{label}**: not known yet")
        else:
            lines.append(f"- **{label}**: {_network(network)}")
    return lines


def _network(network: ScoredNetwork) -> str:
    costs = f"{network.costs['params']:,.0f} params, {network.costs['macs']:,.0f} MACs"
    test = f", test {said_score(network.test)}" if network.test else ""
    return (
        f"{_plain(network.method)} at {network.resolution} px, {costs}; "
        f"validation {said_score(network.final)}{test} ({len(network.final.by_seed)} seeds)"
    )


def said_score(score: Score) -> str:
    """Mean and sample standard deviation in percent."""
    return f"{100 * score.mean:.2f}" + ("" if score.std is None else f" ± {100 * score.std:.2f}") + " %"


def _next(search: StoredSearch, front: Front) -> list[str]:
    name = shlex.quote(search.name)
    export = [] if front.study else [f"nas export {name} -o winner.json"]
    return [
        *fenced("console", "\n".join([*export, f"nas report {name} -o report.html"])),
        "",
        "A trial is one training, with one seed. The front is judged by means over seeds, as the figures on the first "
        "page show. Trials over the budget are infeasible.",
    ]


def fenced(language: str, text: str) -> list[str]:
    """Lines of a block of code that nothing in the text can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip("\n").split("\n"), fence]


def _plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|~&])", r"\\\1", " ".join(text.split()))
