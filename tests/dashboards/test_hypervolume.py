"""Hypervolume of a front as it grew: by hand, and against the union of boxes by brute force."""

from itertools import pairwise

import numpy as np
import pytest

from dashboards.hypervolume import hypervolume_figure, hypervolume_of, read_course, reference_point
from tests.dashboards.fronts import front, network

NETWORKS = [
    network("base", 0.5, 50),
    network("a", 0.6, 20),
    network("beaten", 0.55, 60),
    network("over", 0.99, 150),
    network("b", 0.8, 100, fresh=(0.1, 0.1)),
]
FRONT = front(NETWORKS, ("a", "b"))
SECONDS = {
    f"{name}-{seed}": 10.0 * i + seed
    for i, name in enumerate(("base", "a", "beaten", "over", "b"))
    for seed in range(5)
}


def test_reference_is_a_tenth_beyond_the_budget_and_chance() -> None:
    assert reference_point(FRONT, 4) == {"accuracy": 0.25, "macs": pytest.approx(110.0)}
    timed = front(NETWORKS, ("a",), ("accuracy", "latency_ms"))
    assert reference_point(timed, 4) is None, "no network's latency is known"
    unbounded = front(NETWORKS, ("a",), ("accuracy", "activation_elements"))
    assert reference_point(unbounded, 4) == {"accuracy": 0.25, "activation_elements": pytest.approx(11.0)}, "the base's"


def test_volume_by_hand() -> None:
    """Reference: 1 - 0.25 = 0.75 wide in accuracy, 110 in MACs."""
    reference = {"accuracy": 0.25, "macs": 110.0}
    assert hypervolume_of(NETWORKS[1:2], reference) == pytest.approx((0.35 / 0.75) * (90 / 110))
    both = 0.35 * 90 + (0.9 - 0.6) * 10  # b by the accuracy of its fresh seeds
    assert hypervolume_of(NETWORKS, reference) == pytest.approx(both / (0.75 * 110))
    assert hypervolume_of(NETWORKS[3:4], reference) == 0.0, "over the budget"


def test_three_objectives_against_counted_cells() -> None:
    own = [network("a", 0.75, 50, params=300), network("b", 0.5, 30, params=700), network("c", 0.9, 90, params=900)]
    reference = {"accuracy": 0.0, "macs": 100.0, "params": 1000.0}
    cells = (np.stack(np.meshgrid(*[np.arange(100)] * 3, indexing="ij"), -1) + 0.5) / 100  # lost accuracy, costs
    covered = np.zeros(cells.shape[:3], bool)
    for one in own:
        corner = np.array([1 - one.final.mean, one.costs["macs"] / 100, one.costs["params"] / 1000])
        covered |= (cells >= corner).all(-1)
    assert hypervolume_of(own, reference) == pytest.approx(covered.mean(), abs=1e-9)


def test_the_course_counts_trainings_and_time() -> None:
    reference = reference_point(FRONT, 4)
    assert reference is not None
    course = read_course(FRONT, reference, SECONDS)
    assert course is not None
    assert course.trainings == (3, 6, 9, 15), "three seeds each; one over the budget stands for itself alone"
    assert course.seconds == (2.0, 12.0, 22.0, 42.0)
    assert all(before <= after for before, after in pairwise(course.hypervolumes))
    assert course.hypervolumes[1] == course.hypervolumes[2], "a network that is beaten adds nothing"
    assert course.hypervolumes[1] == pytest.approx(hypervolume_of(NETWORKS[:2], reference))
    trainings, minutes = hypervolume_figure(course).data
    assert list(trainings.x) == [3, 6, 9, 15]
    assert list(minutes.x) == pytest.approx([2 / 60, 12 / 60, 22 / 60, 42 / 60], abs=1e-3)


def test_nothing_within_the_budget_has_no_course() -> None:
    assert read_course(front(NETWORKS[3:4], ()), {"accuracy": 0.25, "macs": 110.0}, SECONDS) is None
