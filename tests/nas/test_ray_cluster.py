"""Searches on a Ray cluster of two nodes, as a person runs them; what its faults leave behind."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import NAS, environment, run_nas, write_spec
from tests.nas.test_main_job import stored
from tests.nas.test_stopping import busy_workers, cause, family
from tests.ray_cluster import HEAD, OTHER, Cluster, two_nodes
from tests.trials.test_job import make_job
from tests.trials.test_ray_limits import Source
from tests.trials.test_run import TINY
from trials import DataSettings, JobResult
from trials.dataset import load_dataset
from trials.job import AnyJob, Outcome
from trials.placement import Placement

# isort: off
from trials.ray_environment import TOKEN
from trials.ray_workers import start_workers
from trials.ray_tune import run_on_ray
import ray
from ray._private.state import available_resources_per_node
# isort: on

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GPU = ("--num-gpus=1", "--num-cpus=4")  # Ray takes our word for it


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with two_nodes(tmp_path_factory.mktemp("cluster"), *GPU) as standing:
        yield standing


def on(cluster: Cluster | None) -> dict[str, str]:
    """The environment of a driver on it; of None, on a Ray of its own."""
    own = {} if cluster is None else {TOKEN: cluster.token, "NAS_RAY_ADDRESS": cluster.address}
    return {key: value for key, value in environment().items() if key != TOKEN} | own


def begin(folder: Path, cluster: Cluster | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [NAS, "search", "small.yaml"],
        cwd=folder,
        env=on(cluster),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_front(folder: Path, finished: Path) -> None:
    """Nothing is lost or doubled, and the front is that of an undisturbed run on one machine."""
    found, expected = ({k: v[:2] for k, v in stored(place).items()} for place in (folder, finished))
    assert found == expected
    fronts = [run_nas(place, "front", "small", "--json").stdout for place in (folder, finished)]
    assert [line for line in fronts[0].splitlines() if "seconds" not in line] == [
        line for line in fronts[1].splitlines() if "seconds" not in line
    ]


def test_two_nodes_find_the_front_of_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    longer = {"preset": "borji", "epochs": 5, "seeds": 2, "confirm": 0, "deterministic": True}  # than workers start
    alone = tmp_path / "alone"
    alone.mkdir()
    write_spec(alone, train=longer)
    assert run_nas(alone, "search", "small.yaml", "--local").returncode == 0
    write_spec(tmp_path, train=longer, ray={"address": cluster.address}, search={"max_candidates": 2})
    done = subprocess.run(
        [NAS, "search", "small.yaml"],
        cwd=tmp_path,
        env=on(None) | {TOKEN: cluster.token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check_front(tmp_path, alone)
    # each node made its own resized images, in a cache folder of its own
    assert list((cluster.folder / "other-cache" / "nas-service" / "resized").glob("*px.bin"))
    assert "Traceback" not in done.stdout + done.stderr
    assert "(raylet)" not in done.stdout + done.stderr


def test_a_wrong_token_is_one_line(cluster: Cluster, tmp_path: Path) -> None:
    write_spec(tmp_path)
    env = on(cluster) | {TOKEN: "0" * 64}
    command = [NAS, "search", "small.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: a Ray cluster must answer at {cluster.address} ")


def test_four_workers_share_a_gpu(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, cluster.token)
    with start_workers(Placement(address=cluster.address, gpus=0.25)) as workers:
        actors = workers().actors
        assert len(actors) == 4, "none on the node without a GPU"
        assert ray.get([actor.gpus.remote() for actor in actors]) == [[0]] * 4
        free = available_resources_per_node()  # type: ignore[no-untyped-call]
        assert [node.get("GPU", 0) for node in free.values() if node.get("node:127.0.0.3")] == [0]


def test_images_are_placed_once_per_node(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five workers on two nodes, neither of which sees the driver's file."""
    monkeypatch.setenv(TOKEN, cluster.token)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (20_000, 28, 28), np.uint8)  # 15.7 MB
    np.savez(tmp_path / "images.npz", x_train=images, y_train=noise.integers(0, 10, len(images)))
    dataset = load_dataset(DataSettings(source=str(tmp_path / "images.npz")))
    assert isinstance(dataset.images, np.memmap)
    Path(str(dataset.images.filename)).unlink()  # as on another machine; what is mapped stays
    jobs = [make_job(TINY, epochs=1, seed=seed) for seed in range(10)]
    with start_workers(Placement(address=cluster.address)) as workers:
        standing = workers()
        nodes = ray.get([actor.ready.remote() for actor in standing.actors])
        assert sorted(Counter(nodes).values()) == [1, 4]
        source = Measures([(job,) for job in jobs], stop=False)
        before = free_bytes()
        run_on_ray(source, dataset, tmp_path, standing)
    assert all(isinstance(outcome, JobResult) for outcome in source.told.values()), source.told
    used = {node: before[node] - left for node, left in source.free.items()}
    assert used.keys() == set(nodes)
    for node, held in used.items():
        assert images.nbytes <= held < 1.1 * images.nbytes, (node, used)


class Measures(Source):
    """Says what is free once all jobs are done, while the run still holds its images."""

    free: dict[str, float]

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        super().tell(outcomes)
        if self.finished():
            self.free = free_bytes()


def free_bytes() -> dict[str, float]:
    """Of each node's object store."""
    time.sleep(3)  # nodes tell of it every second or so
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return {node: float(held["object_store_memory"]) for node, held in free.items()}


def test_jobs_of_a_node_that_dies_are_run_on_another(finished_search: Path, tmp_path: Path) -> None:
    write_spec(tmp_path)
    with two_nodes(tmp_path) as standing:
        process = begin(tmp_path, standing)
        wait_until_busy(process, standing)
        standing.kill_node(OTHER)
        shown, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "failed" not in shown + errors
        assert "(raylet)" not in shown + errors
        assert cause(tmp_path).endswith(" px: the machine of its worker was lost")
    check_front(tmp_path, finished_search)


@pytest.mark.parametrize("service", ["gcs_server", "raylet"])
@pytest.mark.parametrize("place", ["alone", "cluster"])
def test_a_head_that_dies_ends_the_driver_and_the_same_command_goes_on(
    finished_search: Path, tmp_path: Path, place: str, service: str
) -> None:
    write_spec(tmp_path)
    if place == "alone":
        end_by_losing_ray(tmp_path, None, service)
        done = run_nas(tmp_path, "search", "small.yaml")
        assert done.returncode == 0, done.stderr
    else:
        for number in (0, 1):
            (folder := tmp_path / f"cluster-{number}").mkdir()
            with two_nodes(folder) as standing:
                if number == 0:
                    end_by_losing_ray(tmp_path, standing, service)
                else:
                    process = begin(tmp_path, standing)
                    _, errors = process.communicate(timeout=200)
                    assert process.returncode == 0, errors
    check_front(tmp_path, finished_search)


def end_by_losing_ray(folder: Path, cluster: Cluster | None, service: str) -> None:
    process = begin(folder, cluster)
    wait_until_busy(process, cluster)
    if cluster is None:
        names = family(process.pid).items()
        (pid,) = [pid for pid, name in names if name.split("\0")[0].endswith(f"/{service}")]
    else:
        pid = cluster.service(HEAD, service)
    begun = family(process.pid)
    os.kill(pid, signal.SIGKILL)
    shown, errors = process.communicate(timeout=60)  # Ray itself would wait so long before it does anything
    assert process.returncode == os.EX_TEMPFAIL, errors
    assert errors.splitlines()[-1].startswith("error: Ray must run as long as the search, but does not answer at ")
    assert errors.splitlines()[-1].endswith("the same command goes on")
    assert "Traceback" not in shown + errors
    assert cause(folder) == errors.splitlines()[-1].removeprefix("error: ")
    deadline = time.monotonic() + 150  # Ray's agents look for their head for a minute
    while left := [pid for pid in begun if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, [begun[pid] for pid in left]
        time.sleep(0.1)


def wait_until_busy(process: subprocess.Popen[str], cluster: Cluster | None) -> None:
    deadline = time.monotonic() + 120
    while not (busy_workers(process.pid) if cluster is None else cluster.busy_workers(OTHER)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
