"""Ray's workers: one process each that is ready to train, as torch is imported there, once.

Tune starts a new process for each of its actors, with an environment of its own, so never one that Ray has started
beforehand. Our workers are therefore plain actors: those do land in the processes that Ray starts with itself, and
these import torch while the driver still reads its images. Tune's trials (`trials.ray_tune`) pass their jobs on.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Any

# isort: off
from trials.ray_environment import WorkersError  # first: it sets what Ray reads at its import

import ray
# isort: on

from trials.attempts import Pack
from trials.data import Dataset
from trials.folders import is_remote, open_path
from trials.job import AnyJob, JobFailure, Outcome, read_job, read_result
from trials.loop import try_jobs
from trials.memory import own_memory
from trials.placement import Placement
from trials.ray_start import Ray, check_gpus, start_ray


class Worker:
    """An actor that runs packs, one after the other; Ray starts it anew when its process dies."""

    def __init__(self) -> None:
        import trials.run  # noqa: F401 torch takes seconds to import: here, while the driver prepares

    def ready(self) -> str:
        """Comes back when the process stands: the id of the node that it is on."""
        return str(ray.get_runtime_context().get_node_id())

    def gpus(self) -> list[int]:
        """Numbers of the GPUs of which it has a share."""
        return [int(number) for number in ray.get_gpu_ids()]

    def memory(self) -> int:
        """Bytes that this process holds; answered while a pack runs."""
        return own_memory()

    def run(self, pack: dict[str, Any], dataset: Dataset, folder: str, device: str, threads: int) -> str:
        """The outcomes of a pack, of `plain_pack`, as text that `read_outcomes` takes back.

        Raises WorkersError where the folder of the weights is not there.
        """
        place = open_path(folder)
        if not is_remote(place) and not place.is_dir():
            raise WorkersError(
                f"weights must lie where every node of the cluster reaches them, but {folder} is not here"
            )
        jobs = [read_job(job) for job in json.loads(pack["jobs"])]
        outcomes = try_jobs(jobs, dataset, place, device, threads=threads, parts=pack["parts"])
        return json.dumps([_plain(outcome) for outcome in outcomes])


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The actors, the Ray that they are on, and where they compute."""

    actors: Sequence[Any]
    placement: Placement
    ray: Ray


def pack_text(jobs: Sequence[AnyJob]) -> str:
    """Jobs as `Worker.run` takes them."""
    return json.dumps([job.to_json() for job in jobs])


def plain_pack(pack: Pack) -> dict[str, Any]:
    """A pack as `Worker.run` takes it."""
    return {"jobs": pack_text(pack.jobs), "count": len(pack.jobs), "parts": pack.parts}


def _plain(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome) if isinstance(outcome, JobFailure) else outcome.to_json()


def read_outcomes(text: str) -> list[Outcome]:
    """The outcomes that `Worker.run` gave."""
    return [JobFailure(**data) if "message" in data else read_result(data) for data in json.loads(text)]


@contextmanager
def start_workers(placement: Placement) -> Iterator[Callable[[], Workers]]:
    """Workers as `placement` says; at the end every process is gone that was started here.

    They are started in a thread: what is given waits until Ray stands, and may raise WorkersError then; the workers
    may still be importing torch. Until then nothing of Ray's may be imported, as its modules import each other in
    circles, which two threads must not walk at once. Raises WorkersError at once where there is no such device, and
    where this process has a Ray of its own.
    """
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # our own progress and errors are shown instead
    if ray.is_initialized():  # by a script that calls us; at our end its Ray would end, too
        raise WorkersError(
            "this process must have no Ray of its own, but has one; call ray.shutdown(), or search locally"
        )
    if placement.device == "cuda" and not placement.address:
        check_gpus(placement.count or 1, placement.gpus)
    started, over = Future[Workers](), Event()
    thread = Thread(target=_keep_ray, args=(started, over, placement), name="ray")
    thread.start()
    try:
        yield started.result
    finally:
        over.set()
        thread.join()


def _keep_ray(started: Future[Workers], over: Event, placement: Placement) -> None:
    """Start Ray, wait, end it. Its processes die with the thread that starts them, so this is one and the same.

    In the main thread Ctrl-C would leave a Ray that is half started, of which some processes stay; and Ray would put
    a handler of its own in place for SIGTERM.
    """
    standing: Ray | None = None
    try:
        standing = start_ray(placement)
        # beside a pack, a thread of its own answers how much memory it holds
        watched: dict[str, Any] = {"concurrency_groups": {"watch": 1}}
        remote: Any = ray.remote(**watched) if placement.limits.memory_gb else ray.remote
        actor = remote(Worker).options(
            num_cpus=placement.cpus,
            num_gpus=placement.gpus,
            scheduling_strategy="SPREAD",  # over all nodes, as each brings its own memory and caches
            max_restarts=-1,
            max_task_retries=0,  # a pack whose worker died may kill the next one, too: `trials.attempts` decides
        )
        actors = [actor.remote() for _ in range(standing.count)]
        started.set_result(Workers(actors=actors, placement=placement, ray=standing))
        over.wait()
    except BaseException as error:
        started.set_exception(error)
    finally:
        ray.shutdown()
        if standing is not None:
            standing.watch.end()
