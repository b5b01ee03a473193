"""Latency is never measured while jobs train on the same device: a lock a device, for all processes of a user.

Two files a device in the user's cache folder, locked with flock, which the kernel frees with the process that holds
them, however it ends. The lock: trainings share it, a measurement has it alone. The gate: a training passes it when it
begins, a measurement stands in it while it waits and measures, so that a stream of trainings cannot starve it. Files
are never deleted, as a lock on a deleted file keeps nobody out.

A process that trains must not measure the same device within the training: it would wait for itself. A child that is
forked while a lock is held, and lives on without `exec`, holds it as well.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from platformdirs import user_cache_path

from search_spaces import NasError


class DeviceLockError(NasError):
    """A device that cannot be locked."""


@contextmanager
def training_on(device: str) -> Iterator[None]:
    """Held while a job runs on a device ("cpu", "cuda:1"): waits while the device is measured.

    Where no lock can be had (a cache folder that cannot be written), the job runs without: its numbers do not depend on
    it, and a measurement, which does, refuses to run there.
    """
    with ExitStack() as held:
        with suppress(OSError), _open(device, "gate") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(held.enter_context(_open(device, "lock")), fcntl.LOCK_SH)
        yield


@contextmanager
def measuring_on(device: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Held while a device is measured: waits until the jobs that run on it end; new ones begin only afterwards.

    `on_wait` is called once, if it has to wait. Raises DeviceLockError where no lock can be had.
    """
    with ExitStack() as held:
        try:
            waited = _acquire(held.enter_context(_open(device, "gate")), on_wait)
            _acquire(held.enter_context(_open(device, "lock")), None if waited else on_wait)
        except OSError as error:
            raise DeviceLockError(
                f"measuring must lock {device} with a file in {_folder()}, but: {error.strerror or error}; make it "
                "writable, or set XDG_CACHE_HOME, for the searches of this machine too"
            ) from error
        yield


def lock_name(device: str) -> str:
    """Of the files: cuda is cuda:0, and a GPU has the number that the whole machine knows it by.

    Ray shows a worker only the GPUs that it owns, numbered from 0; CUDA_VISIBLE_DEVICES says which these are.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return kind
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    number = int(index or 0)
    return f"cuda-{visible[number].strip() if number < len(visible) and visible[number].strip() else number}"


def _acquire(file: IO[bytes], on_wait: Callable[[], None] | None) -> bool:
    """Take a file alone; True if that meant waiting."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is not None:
            on_wait()
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    return False


def _open(device: str, kind: Literal["gate", "lock"]) -> IO[bytes]:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{lock_name(device)}.{kind}").open("ab")


def _folder() -> Path:
    return user_cache_path("nas-service") / "devices"
