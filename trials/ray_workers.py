"""Starts Ray on this machine, with one process a worker that is ready to train: torch is imported there, once.

Tune starts a new process for each of its actors, with an environment of its own, so never one that Ray has started
beforehand. Our workers are therefore plain actors: those do land in the processes that Ray starts with itself, and
these import torch while the driver still reads its images. Tune's trials (`trials.ray_tune`) pass their jobs on.
"""

import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Any, ClassVar

# Ray reads these when it is imported or started, and its processes inherit them.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",  # no telemetry
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # every service on the loopback address, whatever the name says
    RAY_AUTH_MODE="token",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_DISABLE_FAILURE_SIGNAL_HANDLER="1",  # SIGTERM is ours: Ray would print where it was at that moment
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # no folder of logs per trial
    TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C is ours
    RAY_AIR_NEW_OUTPUT="0",
    # a worker owns one core: no second pool of threads may wake beside torch's
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
)
# the token lives in the environment of the driver and of what it starts, not in a file under HOME
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray
from ray.job_config import JobConfig

from search_spaces import NasError
from search_spaces.errors import Retry
from trials.data import Dataset
from trials.folders import open_path
from trials.job import AnyJob, JobFailure, Outcome, read_job, read_result
from trials.loop import try_jobs
from trials.ray_token import mend_token_file, token_path

DIED = "the worker process died (out of memory, or killed)"


class WorkersError(NasError):
    """Ray that cannot start."""

    retry: ClassVar[Retry] = "later"


class DeviceError(WorkersError):
    """A device that is not there, or not often enough."""

    retry: ClassVar[Retry] = "elsewhere"


class Worker:
    """An actor that runs packs, one after the other; Ray starts it anew when its process dies."""

    def __init__(self) -> None:
        import trials.run  # noqa: F401 torch takes seconds to import: here, while the driver prepares

    def ready(self) -> None:
        """Comes back when the process stands."""

    def run(self, jobs: str, dataset: Dataset, folder: str, device: str) -> str:
        """The outcomes of a pack, as text that `read_outcomes` takes back."""
        pack = [read_job(job) for job in json.loads(jobs)]
        return json.dumps([_plain(outcome) for outcome in try_jobs(pack, dataset, open_path(folder), device)])


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The actors, and where they compute."""

    actors: Sequence[Any]
    device: str


def pack_text(jobs: Sequence[AnyJob]) -> str:
    """A pack as `Worker.run` takes it."""
    return json.dumps([job.to_json() for job in jobs])


def _plain(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome) if isinstance(outcome, JobFailure) else outcome.to_json()


def read_outcomes(text: str) -> list[Outcome]:
    """The outcomes that `Worker.run` gave."""
    return [JobFailure(**data) if "message" in data else read_result(data) for data in json.loads(text)]


@contextmanager
def start_workers(count: int, *, device: str = "cpu", gpu_share: float = 1.0) -> Iterator[Callable[[], Workers]]:
    """Workers of one core each, and of `gpu_share` of a GPU where `device` is cuda; at the end every process is gone.

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
    if device == "cuda":
        check_gpus(count, gpu_share)
    gpus = gpu_share if device == "cuda" else 0
    started, over = Future[Workers](), Event()
    thread = Thread(target=_keep_ray, args=(started, over, count, device, gpus), name="ray")
    thread.start()
    try:
        yield started.result
    finally:
        over.set()
        thread.join()


def _keep_ray(started: Future[Workers], over: Event, count: int, device: str, gpus: float) -> None:
    """Start Ray, wait, end it. Its processes die with the thread that starts them, so this is one and the same.

    In the main thread Ctrl-C would leave a Ray that is half started, of which some processes stay; and Ray would put
    a handler of its own in place for SIGTERM.
    """
    try:
        _start_ray(count, gpus=gpus > 0)
        actor = ray.remote(Worker).options(
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=0,  # a pack whose worker died may kill the next one, too: the source decides
        )
        started.set_result(Workers(actors=[actor.remote() for _ in range(count)], device=device))
        over.wait()
    except BaseException as error:
        started.set_exception(error)
    finally:
        ray.shutdown()


def check_gpus(workers: int, share: float) -> None:
    """Raises DeviceError where this machine's GPUs are too few."""
    import torch  # of searches on a GPU alone

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not gpus:
        raise DeviceError("search.device cuda needs a GPU that torch can use, but there is none; set it to cpu")
    if workers > gpus * int(1 / share):
        raise DeviceError(
            f"search.workers must be at most {gpus * int(1 / share)} on {gpus} GPUs where each takes "
            f"search.gpu_share {share:g}, but is {workers}; lower one of them"
        )


def _start_ray(workers: int, *, gpus: bool) -> None:
    mend_token_file(token_path())
    config = getattr(ray._raylet, "Config", None)  # compiled; what Ray itself does when it turns authentication on
    if config is not None:
        config.initialize("")  # a script may have imported Ray before us, without authentication
    try:
        ray.init(
            address="local",  # never a cluster that happens to run on this machine
            # otherwise workers look for modules in the working folder first: a torch.py there would be run
            job_config=JobConfig(_client_job=True),
            num_cpus=workers,
            num_gpus=None if gpus else 0,
            resources={"trial": workers},  # what Tune counts: its trials compute nothing
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.CRITICAL,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WorkersError(f"Ray must be able to start on this machine, but: {reason}; try --local") from error
