"""What `nas compare` shows."""

from collections.abc import Sequence

from rich.console import Console

from dashboards.compare import Comparison, Pair, Side, compare_methods, compare_searches
from dashboards.differences import Difference
from dashboards.scored import ScoredNetwork
from nas.show import percent
from nas.tables import make_table, short_number
from search_spaces import NasError
from trials.store import Store

_COLUMNS = ("method", "px", "params", "MACs", "validation", "test")


def compare_named(names: Sequence[str], methods: tuple[str, str] | None, storage: str) -> Comparison:
    """Two searches, or two methods of one; raises NasError for any other number of them."""
    wanted = 2 if methods is None else 1
    if len(names) != wanted:
        what = "two searches, or one and two --methods" if methods is None else "one search beside --methods"
        raise NasError(f"compare needs {what}, but got {len(names)} names: {', '.join(names)}")
    with Store(storage) as store:
        if methods is not None:
            return compare_methods(store, names[0], *methods)
        return compare_searches(store, names[0], names[1])


def print_comparison(console: Console, found: Comparison) -> None:
    """The fronts of both, then the differences with their intervals."""
    a, b = found.a.name, found.b.name
    for note in found.notes:
        console.print(note, markup=False, highlight=False)
    bounds = ", ".join(f"{name} at most {bound:,.12g}" for name, bound in found.budget.items())
    equal = "" if found.same_budget else " (the tighter of both budgets)"
    console.print(f"A {a}, B {b}; {bounds or 'no bound'}{equal}", markup=False, highlight=False, soft_wrap=True)
    if found.originals:
        _print_originals(console, found)
    else:
        for letter, side in (("A", found.a), ("B", found.b)):
            _print_front(console, letter, side)
        for pair in found.pairs:
            _print_pair(console, pair)
    console.print(
        "accuracies in %, differences in points of percent with 95 % intervals: what other seeds would give, not what "
        "other images would",
        highlight=False,
        soft_wrap=True,
    )


def _print_front(console: Console, letter: str, side: Side) -> None:
    volume = "" if side.hypervolume is None else f", hypervolume {side.hypervolume:.4f}"
    count = len(side.networks)
    console.print(f"\n{letter}: front of {count} {'network' if count == 1 else 'networks'}{volume}", highlight=False)
    table = make_table(*_COLUMNS, left=("method",), folds=("method",))
    for network in side.front:
        table.add_row(*_row(network))
    console.print(table)


def _row(network: ScoredNetwork) -> list[str]:
    costs = [short_number(network.costs[name], digits=4) for name in ("params", "macs")]
    scores = [percent(network.final), percent(network.test) if network.test else ""]
    return [network.method, str(network.resolution), *costs, *scores]


def _print_pair(console: Console, pair: Pair) -> None:
    console.print(f"\nmost accurate on validation within {pair.at}", highlight=False)
    table = make_table("", *_COLUMNS, left=("", "method"), folds=("method",))
    table.add_row("A", *_row(pair.before))
    table.add_row("B", *_row(pair.after))
    console.print(table)
    for split, one in (("validation", pair.validation), ("test", pair.test)):
        said = f"{_difference(one)}, {_seeds(one)}" if one else "not scored for both"
        console.print(f"B - A on {split}: {said}", highlight=False)


def _seeds(one: Difference) -> str:
    if one.how == "welch":
        return f"Welch's t, n = {one.n} and {one.n_other}, as they have no two seeds in common"
    return f"paired, n = {one.n}"


def _print_originals(console: Console, found: Comparison) -> None:
    title = "test accuracy in % of the solutions chosen on validation, means over the same originals"
    table = make_table("px", "originals", "A", "B", "B - A", "", title=title)
    for pair in found.originals:
        cells = (str(pair.resolution), str(pair.test.n), f"{100 * pair.before:.1f}", f"{100 * pair.after:.1f}")
        table.add_row(*cells, _difference(pair.test), pair.test.how)
    console.print(table)


def _difference(one: Difference) -> str:
    """Points of percent, with the interval."""
    if one.low is None or one.high is None:
        return f"{100 * one.mean:+.2f}, too few for an interval"
    return f"{100 * one.mean:+.2f} ({100 * one.low:+.2f} to {100 * one.high:+.2f})"
