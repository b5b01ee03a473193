"""Racing: closed forms, brute force for the ranking, whole simulated races with failures, kills and any order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from nas.racing import CELL, RaceSpec, Step, next_steps, planned_epochs, promote, rung_sizes, rungs

races = st.builds(
    RaceSpec,
    rule=st.sampled_from(["halving", "asha"]),
    eta=st.integers(2, 5),
    finalists=st.integers(1, 4),
    min_epochs=st.integers(1, 4),
    seeds=st.integers(1, 3),
)


@pytest.mark.parametrize(
    ("epochs", "settings", "expected"),
    [
        (10, {}, (1, 3, 10)),
        (81, {}, (1, 3, 9, 27, 81)),
        (80, {}, (1, 3, 9, 27, 80)),
        (16, {"eta": 4}, (1, 4, 16)),
        (10, {"eta": 2}, (1, 2, 5, 10)),
        (40, {"min_epochs": 5}, (5, 14, 40)),
        (10, {"min_epochs": 8}, (8, 10)),
        (10, {"min_epochs": 10}, (10,)),
        (10, {"min_epochs": 20}, (10,)),
        (1, {}, (1,)),
    ],
)
def test_rungs(epochs: int, settings: dict[str, int], expected: tuple[int, ...]) -> None:
    assert rungs(epochs, RaceSpec(**settings)) == expected


@given(st.integers(1, 10**9), races)
def test_rungs_grow_by_about_eta(epochs: int, race: RaceSpec) -> None:
    found = rungs(epochs, race)
    assert found[-1] == epochs
    assert found[0] == min(race.min_epochs, epochs)
    assert all(before < after for before, after in pairwise(found))
    factor = (epochs / race.min_epochs) ** (1 / max(1, len(found) - 1))
    assert factor < race.eta**1.5 + 1e-9
    assert len(found) <= 2 or factor > race.eta**0.75 - 1e-9


def test_sizes_and_epochs_by_hand() -> None:
    race = RaceSpec()
    assert rung_sizes(27, (1, 3, 10), race) == (27, 9, 3)
    assert rung_sizes(10, (1, 3, 10), race) == (10, 4, 2)
    assert rung_sizes(1, (1, 3, 10), race) == (1, 1, 1)
    assert rung_sizes(0, (1, 3, 10), race) == (0, 0, 0)
    assert rung_sizes(27, (1, 3, 10), RaceSpec(finalists=5)) == (27, 9, 5)
    assert rung_sizes(27, (1, 3, 10), RaceSpec(finalists=12)) == (27, 12, 12)
    assert rung_sizes(3, (1, 3, 10), RaceSpec(finalists=12)) == (3, 3, 3)
    # a network that goes 1 -> 3 -> 10 costs 10
    assert planned_epochs(1, 1, (1, 3, 10), race, base=False) == 10
    assert planned_epochs(1, 3, (1, 3, 10), race) == 30
    # 27 to 1, 9 on to 3, 3 on to 10; then two more seeds of these from the start; and the base with three
    assert planned_epochs(28, 3, (1, 3, 10), race) == 27 + 9 * 2 + 3 * 7 + 3 * 2 * 10 + 30
    assert planned_epochs(9, 2, (1, 3, 10), RaceSpec(seeds=5), base=False) == 2 * (9 + 3 * 2 + 7)


@pytest.mark.parametrize(
    "settings", [{"eta": 1}, {"eta": 11}, {"min_epochs": 0}, {"seeds": 0}, {"finalists": 0}, {"rule": "x"}, {"a": 1}]
)
def test_the_spec_is_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RaceSpec(**settings)


# --- promote ---

rung_data = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 20).map(lambda value: value / 20), min_size=n, max_size=n),
        st.lists(st.tuples(st.sampled_from([50, 70, 99, 100]), st.sampled_from([1, 2, 4])), min_size=n, max_size=n),
    )
)


def as_points(accuracy: list[float], costs: NDArray[Any]) -> list[tuple[float, ...]]:
    """What is minimised, in the units of `promote`."""
    cells = np.rint(np.log(costs) / CELL)
    return [(-value, *row) for value, row in zip(accuracy, cells.tolist(), strict=True)]


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(points: list[tuple[float, ...]]) -> Iterator[set[int]]:
    left = set(range(len(points)))
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        yield front
        left -= front


@given(rung_data)
def test_whole_fronts_first(data: tuple[list[float], list[tuple[int, int]]]) -> None:
    accuracy, costs = data[0], np.array(data[1])
    everything = list(fronts(as_points(accuracy, costs)))
    before: set[int] = set()
    for keep in range(len(accuracy) + 2):
        kept = promote(np.array(accuracy), costs, keep)
        assert len(set(kept)) == len(kept) == min(keep, len(accuracy))
        assert before <= set(kept)  # more places only add
        before = set(kept)
        rest = keep
        for front in everything:
            assert len(front & before) == min(rest, len(front))
            rest -= min(rest, len(front))
        if keep:
            assert accuracy[kept[0]] == max(accuracy)


def grid_volume(points: NDArray[np.float64]) -> float:
    """Hypervolume up to 1.1 by cutting space at every coordinate: an independent count."""
    axes = [np.unique([*column, 1.1]) for column in points.T]
    volume = 0.0
    for corner in np.ndindex(*(len(axis) - 1 for axis in axes)):
        low = np.array([axis[i] for axis, i in zip(axes, corner, strict=True)])
        if (points <= low).all(axis=1).any():
            volume += prod(float(axis[i + 1] - axis[i]) for axis, i in zip(axes, corner, strict=True))
    return volume


@given(st.integers(4, 7), st.integers(0, 10**6))
def test_the_least_hypervolume_goes_first(n: int, seed: int) -> None:
    """A front that does not fit is thinned as a count by brute force says."""
    random = np.random.default_rng(seed)
    accuracy = np.sort(random.random(n))
    costs = np.exp(np.sort(random.choice(200, n, replace=False)) * CELL)[:, None]  # the better, the dearer: one front
    losses = (accuracy.max() - accuracy) / np.ptp(accuracy)
    logs = np.log(costs)
    points = np.column_stack([losses, (logs - logs.min()) / max(np.ptp(logs), np.log(2))])
    kept = list(range(n))
    while len(kept) > 1:
        volume = grid_volume(points[kept])
        loss = {i: volume - grid_volume(points[[j for j in kept if j != i]]) for i in kept if i != n - 1}
        kept.remove(min(loss, key=lambda i: loss[i]))
        assert set(promote(accuracy, costs, len(kept))) == set(kept)


def test_close_costs_are_equal() -> None:
    accuracy = np.array([0.9, 0.5, 0.8])
    costs = np.array([[1000, 500], [999, 499], [998, 501]])
    assert promote(accuracy, costs, 2) == [0, 2]  # exactly compared, all three would be non-dominated
    costs[1] //= 2
    assert promote(accuracy, costs, 2) == [0, 1]


def test_a_few_per_cent_of_cost_do_not_outweigh_accuracy() -> None:
    accuracy = np.array([0.90, 0.89, 0.50])
    costs = np.array([[1000], [970], [950]])  # one front
    assert promote(accuracy, costs, 2) == [0, 1]


def test_without_costs_by_accuracy() -> None:
    assert promote(np.array([0.1, 0.9, 0.5, 0.9]), np.empty((4, 0)), 3) == [1, 3, 2]


def test_equal_networks_by_index() -> None:
    assert promote(np.full(5, 0.5), np.full((5, 2), 7), 2) == [0, 1]
    assert promote(np.array([]), np.empty((0, 2)), 2) == []


def test_large_fronts_are_thinned_too() -> None:
    accuracy = np.linspace(0.5, 0.9, 300)
    costs = np.exp(np.arange(300) * CELL)[:, None]
    kept = [set(promote(accuracy, costs, keep)) for keep in (1, 50, 100, 101, 250)]
    assert [len(some) for some in kept] == [1, 50, 100, 101, 250]
    assert all(fewer < more for fewer, more in pairwise(kept))
    assert kept[0] == {299}


# --- whole races ---


@dataclass
class Race:
    """A race over invented curves; networks of `doomed` fail when they are trained to the rung given there."""

    spec: RaceSpec
    epochs: int
    seeds: int
    base: int | None
    costs: NDArray[Any]
    curves: NDArray[np.float64]  # [T, seeds, epochs]
    doomed: dict[int, int]
    results: dict[tuple[int, int, int], float] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    spent: int = 0

    @property
    def rungs(self) -> tuple[int, ...]:
        return rungs(self.epochs, self.spec)

    def steps(self) -> list[Step]:
        return next_steps(self.costs, self.base, self.seeds, self.rungs, self.spec, self.results, self.failed)

    def finish(self, step: Step) -> None:
        known = [until for network, seed, until in self.results if (network, seed) == (step.network, step.seed)]
        assert step.until > max(known, default=0)
        assert step.network not in self.failed
        if self.doomed.get(step.network, self.epochs + 1) <= step.until:
            self.failed.add(step.network)
            return
        self.results[step.network, step.seed, step.until] = self.curves[step.network, step.seed, step.until - 1]
        self.spent += step.until - max(known, default=0)

    def full(self) -> set[int]:
        return {
            n for n in range(len(self.costs)) if all((n, s, self.epochs) in self.results for s in range(self.seeds))
        }

    def run(self, random: Random, workers: int = 3) -> "Race":
        """As the search would: some steps at a time, ending in any order; a running step that fails late is dropped."""
        running: list[Step] = []
        while steps := [step for step in self.steps() if step not in running] or running:
            for step in steps[: workers - len(running)]:
                if step not in running:
                    running.append(step)
            step = running.pop(random.randrange(len(running)))
            if step.network not in self.failed:
                self.finish(step)
            running = [step for step in running if step.network not in self.failed]
        return self


@st.composite
def drawn_races(draw: st.DrawFn, *, rule: str | None = None, failures: bool = True) -> Race:
    networks, seeds, epochs = (
        draw(st.integers(1, 20)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1, 2, 5, 10, 27])),
    )
    spec = draw(races)
    spec = spec if rule is None else spec.model_copy(update={"rule": rule})
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    doomed = draw(st.dictionaries(st.integers(0, networks - 1), st.integers(1, epochs), max_size=8)) if failures else {}
    return Race(
        spec=spec,
        epochs=epochs,
        seeds=seeds,
        base=draw(st.none() | st.integers(0, networks - 1)),
        costs=random.integers(50, 100, (networks, draw(st.integers(0, 3)))),
        curves=np.sort(random.integers(0, 101, (networks, seeds, epochs)), axis=2) / 100,
        doomed=doomed,
    )


@given(drawn_races(), st.randoms(use_true_random=False))
def test_every_race_ends_with_full_networks(race: Race, random: Random) -> None:
    race.run(random)
    candidates = set(range(len(race.costs))) - {race.base}
    alive = candidates - race.failed
    assert race.full() & alive or not alive
    assert race.base is None or race.base in race.full() | race.failed
    if not race.failed:
        wanted = rung_sizes(len(candidates), race.rungs, race.spec)[-1]
        assert len(race.full() & candidates) >= wanted
        if race.spec.rule == "halving":
            assert len(race.full() & candidates) == wanted


@given(drawn_races(rule="halving", failures=False), st.randoms(use_true_random=False))
def test_halving_spends_what_was_planned(race: Race, random: Random) -> None:
    race.run(random)
    planned = planned_epochs(len(race.costs), race.seeds, race.rungs, race.spec, base=race.base is not None)
    assert race.spent == planned


@given(drawn_races(rule="halving"), st.randoms(use_true_random=False), st.integers(1, 5))
def test_halving_does_not_depend_on_the_order(race: Race, random: Random, workers: int) -> None:
    other = Race(race.spec, race.epochs, race.seeds, race.base, race.costs, race.curves, race.doomed)
    race.run(Random(0), workers=1)
    other.run(random, workers)
    # what a doomed network's other seeds did before it failed is chance; all else is equal
    assert {key for key in race.results if key[0] not in race.doomed} == {
        key for key in other.results if key[0] not in race.doomed
    }
    assert race.full() == other.full()


@given(drawn_races(), st.data())
def test_a_race_goes_on_after_a_kill(race: Race, data: st.DataObject) -> None:
    """With one worker: whatever was known when it was killed, the same call proposes the rest and ends the same."""
    killed = Race(race.spec, race.epochs, race.seeds, race.base, race.costs, race.curves, race.doomed)
    race.run(Random(0), workers=1)
    for _ in range(data.draw(st.integers(0, 40))):
        steps = killed.steps()
        if not steps:
            break
        killed.finish(steps[0])
    assert all((step.network, step.seed, step.until) not in killed.results for step in killed.steps())
    killed.results = dict(data.draw(st.permutations(list(killed.results.items()))))  # a database keeps no order
    killed.run(Random(1), workers=1)
    assert (killed.results, killed.failed) == (race.results, race.failed)


@given(drawn_races(rule="asha", failures=False), st.randoms(use_true_random=False))
def test_asha_sends_on_the_best_of_those_done(race: Race, random: Random) -> None:
    candidates = set(range(len(race.costs))) - {race.base}
    sizes = rung_sizes(len(candidates), race.rungs, race.spec)
    counts = [min(race.spec.seeds, race.seeds)] * (len(race.rungs) - 1) + [race.seeds]
    while steps := race.steps():
        ranks = [race.rungs.index(step.until) for step in steps if step.network != race.base]
        assert ranks == sorted(ranks, reverse=True)
        entering: set[int] = set()
        for rung in range(len(race.rungs) - 1):
            until, later = race.rungs[rung : rung + 2]
            done = {n for n in candidates if all((n, s, until) in race.results for s in range(counts[rung]))}
            sent = {step.network for step in steps if step.until == later and step.network != race.base}
            assert sent <= done
            entering |= {step.network for step in steps if step.until == until and step.network != race.base}
            assert len(sent) <= max(len(done) // race.spec.eta, 0 if entering else sizes[rung + 1])
        race.finish(random.choice(steps))


def test_asha_goes_on_before_others_begin() -> None:
    costs, race = np.full((6, 1), 10), RaceSpec(rule="asha")
    known = {(0, 0, 1): 0.5, (1, 0, 1): 0.6}
    begin = [Step(n, 0, 1) for n in (2, 3, 4, 5)]
    assert next_steps(costs, None, 1, (1, 3, 10), race, known, set()) == begin
    known[2, 0, 1] = 0.4
    assert next_steps(costs, None, 1, (1, 3, 10), race, known, set()) == [Step(1, 0, 3), *begin[1:]]
    known[1, 0, 3] = 0.7
    known |= {(3, 0, 1): 0.9, (4, 0, 1): 0.1, (5, 0, 1): 0.2}  # all are done: as many as halving go on
    assert next_steps(costs, None, 1, (1, 3, 10), race, known, set()) == [Step(3, 0, 3)]
    known[3, 0, 3] = 0.8
    assert next_steps(costs, None, 2, (1, 3, 10), race, known, set()) == [Step(3, 0, 10), Step(3, 1, 10)]
    assert next_steps(costs, None, 2, (1, 3, 10), race, known, {3}) == [Step(1, 0, 10), Step(1, 1, 10)]
    assert next_steps(costs, None, 2, (1, 3, 10), race, known, {1, 3}) == [Step(0, 0, 3), Step(2, 0, 3)]


def test_the_base_comes_first_and_takes_no_place() -> None:
    costs, race = np.full((4, 1), 10), RaceSpec()
    steps = next_steps(costs, 0, 2, (1, 3, 10), race, {}, set())
    assert steps == [Step(0, 0, 10), Step(0, 1, 10), Step(1, 0, 1), Step(2, 0, 1), Step(3, 0, 1)]
    known = {(1, 0, 1): 0.2, (2, 0, 1): 0.4, (3, 0, 1): 0.3}
    assert next_steps(costs, 0, 1, (1, 3, 10), race, known, set()) == [Step(0, 0, 10), Step(2, 0, 3)]
    assert next_steps(costs, 0, 1, (1, 3, 10), race, known, {0, 2}) == [Step(3, 0, 3)]
