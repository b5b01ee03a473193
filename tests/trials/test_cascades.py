"""The best cascades, against all networks in all orders of rising MACs at all thresholds."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import BudgetError
from tests.trials.slow_exits import Exits, answer_slowly, draw_exits, every_threshold
from trials.cascades import Cascade, TrainedNetworks, find_cascades
from trials.thresholds import ThresholdError, find_frontier, score_thresholds


def draw_networks(seed: int, count: int, images: int) -> TrainedNetworks:
    """Not in order of their MACs; some of equal MACs."""
    exits = draw_exits(seed, count, images)
    generator = np.random.default_rng(seed)
    order = generator.permutation(count)
    macs = np.sort(generator.integers(1, 30, count))
    return TrainedNetworks(
        confidence=exits.confidence[order].round(1),  # ties
        correct=exits.correct[order],
        macs=tuple(macs[order].tolist()),
        params=tuple(generator.integers(1, 10, count).tolist()),
    )


def exits_of(networks: TrainedNetworks, stages: tuple[int, ...]) -> Exits:
    rows = list(stages)
    return Exits(
        confidence=networks.confidence[rows], correct=networks.correct[rows], macs=[networks.macs[i] for i in stages]
    )


def best_slowly(networks: TrainedNetworks, bounds: Mapping[str, float], most_stages: int) -> tuple[int, int]:
    """Right images less than none, and MACs, of the best cascade."""
    found = []
    for size in range(1, most_stages + 1):
        for stages in combinations(sorted(range(len(networks.macs)), key=lambda i: (networks.macs[i], i)), size):
            exits = exits_of(networks, stages)
            sums = {"macs_worst": sum(exits.macs), "params": sum(networks.params[i] for i in stages)}
            if all(sums[name] <= bound for name, bound in bounds.items() if name in sums):
                for thresholds in every_threshold(exits):
                    correct, reached, macs = answer_slowly(exits, thresholds)
                    if macs <= bounds.get("macs", np.inf) * reached[0]:
                        found.append((-correct, macs))
    return min(found)


def merit(cascade: Cascade) -> tuple[int, int]:
    return -cascade.point.correct, cascade.point.macs


@given(
    st.integers(0, 10**6),
    st.fixed_dictionaries(
        {}, optional={"macs": st.floats(30, 60), "macs_worst": st.integers(30, 90), "params": st.integers(10, 30)}
    ),
    st.integers(1, 3),
)
@settings(max_examples=60)
def test_all_cascades(seed: int, bounds: Mapping[str, float], most_stages: int) -> None:
    networks = draw_networks(seed, count=4, images=6)
    best = find_cascades(networks, bounds, most_stages=most_stages)[0]
    assert merit(best) == best_slowly(networks, bounds, most_stages)


def draw_complements(seed: int, count: int, images: int) -> TrainedNetworks:
    """Networks that are right about different images and know it, so that bounds on cascades are nearly attained."""
    generator = np.random.default_rng(seed)
    correct = generator.random((count, images)) < generator.uniform(0.2, 0.8, (count, 1))
    confidence = generator.uniform(0.1, 0.5, (count, images)) + 0.35 * correct
    macs, params = generator.integers(1, 30, (2, count)).tolist()
    return TrainedNetworks(confidence=confidence, correct=correct, macs=tuple(macs), params=tuple(params))


@given(st.integers(0, 10**6), st.floats(1, 20) | st.none(), st.sampled_from([draw_networks, draw_complements]))
@settings(max_examples=40)
def test_nothing_better_is_left_unseen(
    seed: int, bound: float | None, draw: Callable[[int, int, int], TrainedNetworks]
) -> None:
    """All cascades of three of seven networks, one by one, against the search that stops early."""
    networks = draw(seed, 7, 40)
    bounds = {"macs": max(bound, float(min(networks.macs)))} if bound else {}
    every = []
    order = sorted(range(7), key=lambda i: (networks.macs[i], i))
    for stages in (one for size in (1, 2, 3) for one in combinations(order, size)):
        exits = exits_of(networks, stages)
        if exits.macs[0] <= bounds.get("macs", np.inf):
            point = find_frontier(exits.confidence, exits.correct, exits.macs).most_accurate(bounds.get("macs", np.inf))
            if min(-np.diff((*point.reached, 0))) > 0:  # all stages answer
                every.append((-point.correct, point.macs, len(stages), stages))
    for count in (1, 8, 100):
        found = find_cascades(networks, bounds, count=count)
        assert [(*merit(one), len(one.networks), one.networks) for one in found] == sorted(every)[:count]


@pytest.mark.parametrize("seed", range(5))
def test_bounds_may_be_attained(seed: int) -> None:
    """What a cascade takes, as float64, is a bound that it keeps."""
    networks = draw_complements(seed, count=6, images=37)
    for one in find_cascades(networks, {}, count=10):
        bounds = {"macs": one.point.expected_macs, "macs_worst": one.macs_worst, "params": one.params}
        assert merit(find_cascades(networks, bounds)[0]) <= merit(one)


def test_what_is_reported() -> None:
    networks = draw_networks(1, count=6, images=200)
    bounds = {"macs": 12.0, "macs_worst": 60, "params": 20}
    found = find_cascades(networks, bounds, count=4)
    assert len(found) == 4
    for one in found:
        exits = exits_of(networks, one.networks)
        assert one.point == score_thresholds(one.point.thresholds, exits.confidence, exits.correct, exits.macs)
        assert one.macs_worst == sum(exits.macs) <= 60
        assert one.params == sum(networks.params[i] for i in one.networks) <= 20
        assert one.point.expected_macs <= 12
        assert sorted(exits.macs) == exits.macs
        assert one.exact


def test_more_stages_and_fewer_considered() -> None:
    networks = draw_networks(2, count=6, images=50)
    by_stages = [find_cascades(networks, {}, most_stages=most)[0] for most in (1, 2, 3, 4)]
    assert [merit(one) for one in by_stages] == sorted((merit(one) for one in by_stages), reverse=True)
    two = find_cascades(networks, {}, most_considered=2)  # no three networks are considered
    assert merit(two[0]) == merit(by_stages[1])
    assert merit(by_stages[2]) <= merit(find_cascades(networks, {}, most_considered=4)[0]) <= merit(by_stages[1])


def test_a_single_network() -> None:
    networks = draw_networks(3, count=1, images=5)
    (only,) = find_cascades(networks, {"macs": networks.macs[0]}, count=3)
    assert (only.networks, only.point.thresholds, only.macs_worst) == ((0,), (), networks.macs[0])
    assert only.point.correct == networks.correct.sum()


@pytest.mark.parametrize(
    ("bounds", "options", "message"),
    [
        ({"flops": 1}, {}, "a cascade's bounds must be macs, macs_worst, params, but name 'flops'"),
        ({"macs": 0}, {}, "macs must be bounded by a positive number, but the bound is 0"),
        ({"params": float("nan")}, {}, "the bound is nan"),
        ({"macs": 0.5, "params": 99}, {}, r"must keep macs 0\.5, params 99, but none of 3 does: they take \d+ MACs"),
        ({}, {"most_stages": 0}, "most_stages must be at least 1, but is 0"),
        ({}, {"count": 0}, "count must be at least 1"),
        ({}, {"most_considered": 0}, "most_considered must be at least 1"),
    ],
)
def test_refusals(bounds: dict[str, float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        find_cascades(draw_networks(0, count=3, images=4), bounds, **options)


def test_wrong_networks() -> None:
    row = {"confidence": np.array([[0.5]]), "correct": np.array([[True]])}
    with pytest.raises(ThresholdError, match="params must be 1 numbers"):
        TrainedNetworks(**row, macs=(1,), params=(1, 2))
    with pytest.raises(ThresholdError, match="macs must be 1 whole numbers"):
        TrainedNetworks(**row, macs=(1, 2), params=(1,))


@pytest.mark.parametrize("fewest", [1, 2, 3])
def test_of_so_many_stages_at_least(fewest: int) -> None:
    """The best of all that have as many, whatever smaller ones are better."""
    networks = draw_networks(5, 6, 40)
    found = find_cascades(networks, {}, fewest_stages=fewest, most_stages=3, count=500)
    every = find_cascades(networks, {}, most_stages=3, count=500)
    assert found == [cascade for cascade in every if len(cascade.networks) >= fewest]
    assert len(found) >= 1
