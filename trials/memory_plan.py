"""How a job goes on that finds too little memory: with its batches in parts."""

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from trials.job import AnyJob
from trials.prune_job import PruneJob

LEAST = 8  # images that are computed at once; statistics of fewer say little of a batch
SCORING_BATCH = 500
_SIGNS = (
    *("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed"),
    "could not create a primitive",  # all that oneDNN says of it
)
_T = TypeVar("_T")


def micro_batch(job: AnyJob, parts: int) -> int:
    """Images that a job computes at once, where its batches are cut in so many parts."""
    if isinstance(job, PruneJob):
        return job.settings.batch_size
    if job.kind != "train":
        return -(-SCORING_BATCH // parts)
    return -(-job.recipe.batch_size // (job.recipe.accumulate * parts))


def halved(job: AnyJob, parts: int) -> int | None:
    """Twice as many parts; None where that leaves too few images in each, or the job cannot be cut.

    A pruning cannot: its scores are means over whole minibatches.
    """
    if isinstance(job, PruneJob) or micro_batch(job, 2 * parts) < LEAST:
        return None
    return 2 * parts


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on a CPU or a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def with_less(run: Callable[[int], _T], parts: int, more: Callable[[int], int | None]) -> _T:
    """What `run` gives with so many parts or, where it finds no memory, with `more`, until that says None."""
    while True:
        try:
            return run(parts)
        except Exception as error:
            following = more(parts) if is_out_of_memory(error) else None
            if following is None:
                raise
        parts = following  # the error is gone by now, and with it the frames that hold the tensors
        _release()


def _release() -> None:
    """Give what is free back to the system, which glibc keeps for the next tensors (`trials.run.keep_memory`).

    Kernels that are made anew for smaller batches take their memory from there.
    """
    gc.collect()
    with suppress(AttributeError, OSError):  # other C libraries know no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
