"""Two searches, or two methods of one, at equal budget: what each found, and how sure the difference is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboards.differences import Difference, compare_originals, compare_seeds
from dashboards.front import Front, read_front
from dashboards.hypervolume import BEYOND, hypervolume_of, reference_point
from dashboards.picks import main_cost
from dashboards.points import bounds_of, family_of
from dashboards.scored import ScoredNetwork
from search_spaces import Architecture, NasError
from trials.store import Store, StoredSearch


class CompareError(NasError):
    """Two things that cannot be compared."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two: its name, the networks that keep both budgets, their front and its hypervolume (a share)."""

    name: str
    networks: tuple[ScoredNetwork, ...]
    front: tuple[ScoredNetwork, ...]
    hypervolume: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "networks": len(self.networks),
            "front": [network.to_json() for network in self.front],
            "hypervolume": self.hypervolume,
        }


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The most accurate network of each side on validation within `at` of the budget, and differences B - A.

    `validation` is on the seeds that winners are named by, `test` on the test split, where both are scored there.
    """

    at: str
    before: ScoredNetwork
    after: ScoredNetwork
    validation: Difference
    test: Difference | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "at": self.at,
            "a": self.before.to_json(),
            "b": self.after.to_json(),
            "validation": self.validation.to_json(),
            "test": self.test and self.test.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class OriginalsPair:
    """Of a study: how much more the solutions of B gain than those of A, chosen on validation, on the same originals.

    `before` and `after` are mean test accuracies of these.
    """

    resolution: int
    before: float
    after: float
    test: Difference

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"resolution": self.resolution, "a": self.before, "b": self.after, "test": self.test.to_json()}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A against B within `budget`: per cost the tighter of both bounds; `same_budget` where they are one."""

    budget: Mapping[str, float]
    same_budget: bool
    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    originals: tuple[OriginalsPair, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas compare --json`."""
        return {
            "budget": dict(self.budget),
            "same_budget": self.same_budget,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "pairs": [pair.to_json() for pair in self.pairs],
            "originals": [pair.to_json() for pair in self.originals],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Group:
    name: str
    search: StoredSearch
    front: Front
    networks: tuple[ScoredNetwork, ...]
    shares: Mapping[str, float | None]  # of the budget, by network


def compare_searches(store: Store, first: str, second: str) -> Comparison:
    """Two searches of one database; raises CompareError where their images or splits differ."""
    if first == second:
        raise CompareError(f"two searches must be compared, but both are {first!r}; or name two --methods of one")
    a, b = (_whole(store, name) for name in (first, second))
    for key, what in (("fingerprint", "images"), ("split_fingerprint", "splits")):
        if a.search.data[key] != b.search.data[key]:
            raise CompareError(
                f"searches must have the same {what} to be compared, but those of {first!r} and {second!r} differ "
                f"({a.search.data[key][:12]} and {b.search.data[key][:12]})"
            )
    return _compare(a, b)


def compare_methods(store: Store, name: str, first: str, second: str) -> Comparison:
    """Two methods of one search; raises CompareError for one that it has no trained networks of."""
    if first == second:
        raise CompareError(f"two methods must be compared, but both are {first!r}")
    whole = _whole(store, name)
    return _compare(_of_method(whole, first), _of_method(whole, second))


def _whole(store: Store, name: str) -> _Group:
    search, front = store.search(name), read_front(store, name)
    shares = {trial["network_id"]: trial.get("share") for trial in store.trials(name)}
    tested = {one.id: one for one in (front.base, front.winner, *front.study) if one is not None and one.test}
    networks = tuple(tested.get(network.id, network) for network in front.networks)
    return _Group(name, search, front, networks, shares)


def _of_method(whole: _Group, method: str) -> _Group:
    own = tuple(network for network in whole.networks if method in _names(network))
    if not own:
        known = sorted({family_of(network) for network in whole.networks})
        listed = ", ".join(known) or "none yet"
        raise CompareError(f"a method must have trained networks in {whole.name!r}, but {method!r} has none: {listed}")
    return replace(whole, name=method, networks=own)


def _names(network: ScoredNetwork) -> set[str]:
    """What a method may be called: its name in the spec, a label, the label's first word."""
    return {family_of(network), network.method, network.method.partition(" ")[0]}


def _compare(a: _Group, b: _Group) -> Comparison:
    if (a.front.study == ()) != (b.front.study == ()):
        raise CompareError("a study can be compared with a study alone, whose originals set the budgets")
    notes = [f"{one.name} is not finished" for one in (a, b) if not one.front.complete]
    if a.front.study:
        return _compare_studies(a, b, notes)
    bounds = [bounds_of(one.front) for one in (a, b)]
    budget = {name: min(one[name] for one in bounds if name in one) for name in {**bounds[0], **bounds[1]}}
    sides = [_within(one, budget) for one in (a, b)]
    for one in sides:
        if not one.networks:
            raise CompareError(f"{one.name!r} must have a trained network within both budgets, but has none")
    reference, cost = _reference(a, budget), main_cost(a.front.objectives)
    return Comparison(
        budget=budget,
        same_budget=bounds[0] == bounds[1],
        a=_side(sides[0], cost, reference),
        b=_side(sides[1], cost, reference),
        pairs=tuple(_pairs(*sides)),
        originals=(),
        notes=tuple(notes),
    )


def _within(group: _Group, budget: Mapping[str, float]) -> _Group:
    kept = tuple(
        network
        for network in group.networks
        if network.feasible and all(network.costs.get(name, 0) <= bound for name, bound in budget.items())
    )
    return replace(group, networks=kept)


def _reference(group: _Group, budget: Mapping[str, float]) -> dict[str, float] | None:
    """One for both sides: of the common budget, else of A's base."""
    classes = Architecture.from_json(group.search.networks[0]["architecture"]).output[-1]
    found = reference_point(group.front, classes)
    return found and found | {name: BEYOND * bound for name, bound in budget.items() if name in found}


def _side(group: _Group, cost: str, reference: Mapping[str, float] | None) -> Side:
    """Its front is of accuracy and this cost."""
    steps: list[ScoredNetwork] = []
    for network in sorted(group.networks, key=lambda n: (n.costs[cost], -n.final.mean, n.id)):
        if not steps or network.final.mean > steps[-1].final.mean:
            steps.append(network)
    volume = hypervolume_of(group.networks, reference) if reference else None
    return Side(name=group.name, networks=group.networks, front=tuple(steps), hypervolume=volume)


def _pairs(a: _Group, b: _Group) -> Iterator[Pair]:
    """Within the whole budget, then at each share of it for which both have networks."""
    yield _pair("the budget", a.networks, b.networks)
    own = [{share for n in one.networks if (share := one.shares.get(n.id)) is not None} for one in (a, b)]
    common = sorted(own[0] & own[1])
    for share in common if len(common) > 1 else ():
        at = [[n for n in one.networks if one.shares.get(n.id) == share] for one in (a, b)]
        yield _pair(f"x{share:g}", at[0], at[1])


def _pair(at: str, before: Sequence[ScoredNetwork], after: Sequence[ScoredNetwork]) -> Pair:
    a, b = _best(before), _best(after)
    tested = a.test is not None and b.test is not None
    return Pair(
        at=at,
        before=a,
        after=b,
        validation=compare_seeds(a.final.by_seed, b.final.by_seed),
        test=compare_seeds(a.test.by_seed, b.test.by_seed) if tested and a.test and b.test else None,
    )


def _best(networks: Sequence[ScoredNetwork]) -> ScoredNetwork:
    """The most accurate on validation; of equals the one with fewer MACs, then by id, so that every run agrees."""
    return max(networks, key=lambda n: (n.final.mean, -n.costs["macs"], n.id))


def _compare_studies(a: _Group, b: _Group, notes: list[str]) -> Comparison:
    chosen = [_chosen(one.networks) for one in (a, b)]
    sides_of = {network.id: network.resolution for one in (a, b) for network in one.front.study}
    common = sorted(chosen[0].keys() & chosen[1].keys())
    if not common:
        raise CompareError(f"{a.name!r} and {b.name!r} must have solutions of the same originals, but have none")
    pairs = []
    for side in sorted({sides_of[original] for original in common}):
        own = [original for original in common if sides_of[original] == side]
        before, after = ([of[original] for original in own] for of in chosen)
        pairs.append(
            OriginalsPair(
                resolution=side,
                before=sum(before) / len(own),
                after=sum(after) / len(own),
                test=compare_originals(before, after),
            )
        )
    sides = [Side(name=one.name, networks=one.networks, front=(), hypervolume=None) for one in (a, b)]
    return Comparison(
        budget={}, same_budget=True, a=sides[0], b=sides[1], pairs=(), originals=tuple(pairs), notes=tuple(notes)
    )


def _chosen(networks: Sequence[ScoredNetwork]) -> dict[str, float]:
    """Test accuracy of the solution that validation chooses, by its original."""
    best: dict[str, ScoredNetwork] = {}
    for network in networks:
        if network.test is not None and network.original not in ("", network.id):
            kept = best.get(network.original)
            best[network.original] = network if kept is None else _best([kept, network])
    return {original: network.test.mean for original, network in best.items() if network.test}
