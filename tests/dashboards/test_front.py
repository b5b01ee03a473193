"""Scores, the front against brute force, and the winner."""

from dataclasses import replace
from itertools import product
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.front import _non_dominated, _rank
from dashboards.scored import Score, ScoredNetwork


def network(number: int, accuracy: float, macs: int) -> ScoredNetwork:
    costs = {"params": 1, "macs": macs, "activation_elements": 1}
    return ScoredNetwork(
        id=str(number), method="m", resolution=20, costs=costs, slack={"macs": macs - 100},
        validation=Score(by_seed={0: accuracy}, images=10), confirmed=None, test=None,
        seconds=1.0, job_ids={0: str(number)},
    )  # fmt: skip


points = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12)


@given(points)
def test_front_is_what_no_other_beats(values: list[tuple[int, int]]) -> None:
    networks = [network(i, accuracy / 10, macs) for i, (accuracy, macs) in enumerate(values)]
    front = {n.id for n in _non_dominated(networks, ["accuracy", "macs"])}
    beaten = {
        a.id
        for a, b in product(networks, repeat=2)
        if b.validation.mean >= a.validation.mean
        and b.costs["macs"] <= a.costs["macs"]
        and (b.validation.mean > a.validation.mean or b.costs["macs"] < a.costs["macs"])
    }
    assert front == {n.id for n in networks} - beaten


def test_winner_of_equals_is_the_cheaper() -> None:
    networks = [network(0, 0.9, 50), network(1, 0.9, 40), network(2, 0.8, 10)]
    assert max(networks, key=_rank).id == "1"


def test_mean_and_spread() -> None:
    values = {0: 0.9, 1: 0.92, 2: 0.97}
    score = Score(by_seed=values, images=1000)
    assert score.mean == mean(values.values())
    assert score.std == pytest.approx(stdev(values.values()))
    assert Score(by_seed={0: 0.9}, images=1000).to_json() == {
        "mean": 0.9,
        "std": None,
        "n": 1,
        "images": 1000,
        "by_seed": {"0": 0.9},
    }


def test_fresh_seeds_are_what_counts() -> None:
    lucky = replace(network(0, 0.99, 10), confirmed=Score(by_seed={1: 0.7, 2: 0.8}, images=10))
    assert lucky.final.mean == pytest.approx(0.75)
    assert _non_dominated([lucky, network(1, 0.9, 10)], ["accuracy", "macs"])[0].id == "1"


def test_feasible_is_slack_at_most_zero() -> None:
    assert network(0, 0.9, 100).feasible
    assert not network(0, 0.9, 101).feasible
