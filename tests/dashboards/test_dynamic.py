"""Curves and pictures of dynamic networks, as data. S exits, N images."""

from collections.abc import Mapping

import numpy as np
import pytest

from dashboards.dynamic import dynamic_figure
from dashboards.dynamic_points import DynamicNetwork, SeedPoint, SeedScores, answered, mean_curve
from dashboards.front import Front
from dashboards.scored import Score, ScoredNetwork
from trials.job import RouteFigures
from trials.thresholds import OperatingPoint, find_frontier, score_thresholds

MACS = (100, 300)
FIGURES = RouteFigures(
    thresholds=(0.5,), temperatures=(1.0, 1.0), reached=(40, 10), macs=7000, ece=((0.1, 0.05), (0.1, 0.05))
)


def scores(seed: int, *, tested: bool = True) -> SeedScores:
    """Of invented images: the surer an exit, the more often right, the last one more often than the first."""
    random = np.random.default_rng(seed)
    sure = random.uniform(0.1, 1, (2, 2, 60))  # split, exit, image
    right = random.uniform(size=(2, 2, 60)) < np.stack([sure[:, 0] * 0.8, 0.3 + 0.7 * sure[:, 1]], 1)
    test = (sure[1], right[1]) if tested else None
    return SeedScores(seed=seed, frontier=find_frontier(sure[0], right[0], MACS), macs=MACS, test=test)


def network(
    method: str, *, stages: tuple[str, ...] = (), macs: float = 200.0, test: bool = True, id_: str = ""
) -> ScoredNetwork:
    score = Score(by_seed={0: 0.5, 1: 0.6}, images=60)
    return ScoredNetwork(
        id=id_ or method,
        method=method,
        resolution=32,
        costs={"params": 1_234_567, "macs": macs},
        slack={},
        validation=score,
        confirmed=None,
        test=score if test else None,
        seconds=1.0,
        job_ids={0: "a", 1: "b"},
        stages=stages,
    )


def dynamic(method: str, stages: tuple[str, ...], *, test: bool = True) -> DynamicNetwork:
    points = tuple(
        SeedPoint(seed=seed, validation=FIGURES, images=40, test=FIGURES if test else None, test_images=40)
        for seed in (0, 1)
    )
    return DynamicNetwork(network=network(method, stages=stages, test=test), parts=(), points=points)


def front(*networks: ScoredNetwork) -> Front:
    return Front(
        name="tiny", complete=True, base=networks[0], front=networks, winner=networks[0], trained=2, unconfirmed=(),
        failed=(), study=(), networks=networks, compares=False, data={},
    )  # fmt: skip


def test_the_mean_curve_is_what_each_bound_chooses() -> None:
    """At a bound each seed has its own best thresholds of validation; they are the same ones on test."""
    seeds = [scores(seed) for seed in range(3)]
    for tested in (False, True):
        curve = mean_curve(seeds, tested=tested)
        assert (np.diff(curve.accuracy) >= 0).all() or tested, "more MACs are never worse where they are chosen"
        for row, bound in ((0, 100.0), (-1, 400.0)):
            points = [one.frontier.most_accurate(bound) for one in seeds]
            if tested:
                points = [_on_test(one, point) for one, point in zip(seeds, points, strict=True)]
            assert curve.accuracy[row] == pytest.approx(np.mean([point.accuracy for point in points]))
            assert curve.macs[row] == pytest.approx(np.mean([point.expected_macs for point in points]))
            assert curve.std[row] == pytest.approx(np.std([point.accuracy for point in points], ddof=1))


def _on_test(seed: SeedScores, point: OperatingPoint) -> OperatingPoint:
    assert seed.test is not None
    return score_thresholds(point.thresholds, seed.test[0], seed.test[1], MACS)


def test_one_seed_has_no_spread() -> None:
    assert not mean_curve([scores(0)], tested=False).std.any()


def test_shares_of_the_exits() -> None:
    assert answered(FIGURES, 40) == [0.75, 0.25]


SEEDS: Mapping[str, list[SeedScores]] = {
    name: [scores(seed) for seed in (0, 1)] for name in ("cascade 16+32 at x0.5", "cascade 16+32", "msnet")
}


def test_networks_that_differ_in_their_bound_share_a_curve() -> None:
    shown = [
        dynamic("cascade 16+32 at x0.5", ("a", "b")),
        dynamic("cascade 16+32", ("a", "b"), test=False),
        dynamic("msnet", ("c",)),
    ]
    singles = [network("base", macs=500.0), network("small", macs=50.0, test=False)]
    figure = dynamic_figure(shown, SEEDS, front(*singles, *(one.network for one in shown)))
    lines = [trace for trace in figure.data if trace.type == "scatter" and trace.mode == "lines"]
    assert [trace.name for trace in lines] == ["cascade 16+32, 1.23 M params"] * 2 + ["msnet, 1.23 M params"] * 2
    for trace, tested in zip(lines, (False, True, False, True), strict=True):
        wanted = mean_curve(SEEDS["msnet"], tested=tested)
        np.testing.assert_array_equal(trace.y, 100 * wanted.accuracy)
        np.testing.assert_array_equal(trace.x, wanted.macs)
    chosen = [trace for trace in figure.data if trace.type == "scatter" and trace.marker.symbol == "diamond"]
    assert [list(trace.text) for trace in chosen] == [
        ["cascade 16+32 at x0.5", "cascade 16+32"], ["cascade 16+32 at x0.5"], ["msnet"], ["msnet"],
    ]  # fmt: skip
    assert [list(trace.x) for trace in chosen] == [[175, 175], [175], [175], [175]]
    stars = [trace for trace in figure.data if trace.type == "scatter" and trace.marker.symbol == "star"]
    assert [list(trace.x) for trace in stars] == [[500, 50], [500]], "on test only what was scored there"
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [(bar.name, list(bar.x)) for bar in bars] == [("exit 1", [75.0] * 3), ("exit 2", [25.0] * 3)]


def test_nothing_on_test_leaves_that_part_out() -> None:
    shown = [dynamic("msnet", ("c",), test=False)]
    seeds = {"msnet": [scores(seed, tested=False) for seed in (0, 1)]}
    figure = dynamic_figure(shown, seeds, front(network("base", test=False), shown[0].network))
    assert [note.text for note in figure.layout.annotations] == ["on validation", "who answers"]
    assert len([trace for trace in figure.data if trace.type == "scatter" and trace.mode == "lines"]) == 1
