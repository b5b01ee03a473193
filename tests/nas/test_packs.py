"""Which jobs a worker gets at once."""

from collections import deque
from dataclasses import replace

import pytest

from nas.packs import LONG_MACS, take_pack
from search_spaces import Architecture, count_cost
from search_spaces.zoo import make_network
from tests.trials.test_job import make_job
from trials.data import DataSettings
from trials.job import AnyJob, Job
from trials.prune_job import PruneJob
from trials.prune_settings import PruneSettings

NETWORKS = [make_network("lenet", resolution=side) for side in range(14, 22)]


def trainings(networks: list[Architecture], seeds: int = 2, epochs: int = 1) -> list[AnyJob]:
    return [make_job(network, epochs=epochs, seed=seed) for network in networks for seed in range(seeds)]


def pruning() -> PruneJob:
    data = DataSettings(source="mnist5k")
    return PruneJob(architecture=NETWORKS[0], data=data, images_id="x", settings=PruneSettings(), seed=0)


def test_all_seeds_of_a_network() -> None:
    queue = deque(jobs := trainings(NETWORKS))
    assert take_pack(queue, None, 2, 100) == tuple(jobs[:2])
    assert list(queue) == jobs[2:]


def test_more_networks_where_they_are_short() -> None:
    jobs = trainings(NETWORKS)
    assert len(take_pack(deque(jobs), 0.01, 2, 100)) == 4  # half of a worker's share
    assert len(take_pack(deque(jobs), 10.0, 2, 100)) == 2


def test_seeds_are_shared_out_where_few_networks_wait() -> None:
    queue = deque(jobs := trainings(NETWORKS[:1], seeds=6))
    assert [take_pack(queue, None, 2, 100), take_pack(queue, None, 2, 100)] == [tuple(jobs[:3]), tuple(jobs[3:5])]


def test_a_pruning_goes_alone() -> None:
    first = pruning()
    queue: deque[AnyJob] = deque([first, *trainings(NETWORKS)])
    assert take_pack(queue, 0.01, 2, 100) == (first,)


@pytest.mark.parametrize(("over", "size"), [(False, 2), (True, 1)])
def test_a_long_training_goes_alone(over: bool, size: int) -> None:
    epochs = 10
    images = LONG_MACS / count_cost(NETWORKS[0]).macs / epochs
    queue = deque(trainings(NETWORKS, epochs=epochs))
    assert len(take_pack(queue, None, 2, int(images) + over)) == size


def test_fine_tuning_is_apart_from_training_afresh() -> None:
    jobs = trainings(NETWORKS[:1])
    tuned: list[AnyJob] = [replace(job, origin=make_job(NETWORKS[1])) for job in jobs if isinstance(job, Job)]
    queue = deque([*jobs, *tuned, *trainings(NETWORKS[2:])])
    assert [take_pack(queue, None, 2, 100), take_pack(queue, None, 2, 100)] == [tuple(jobs), tuple(tuned)]
