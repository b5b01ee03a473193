"""How much memory this process may use, and files that are read into it ahead."""

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CGROUPS = Path("/sys/fs/cgroup")


def memory_limit(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes: the machine's physical memory or, where that is lower, the limit of the process's control group."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _limit_files(cgroups, membership):
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits)


def _limit_files(cgroups: Path, membership: Path) -> Iterator[Path]:
    """Of the group and of all above it; in a container, whose own group is the root of what it sees, of that."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        for folder in _upwards(group):
            yield root / folder / name


def own_groups(cgroups: Path, membership: Path) -> Iterator[Path]:
    """Folders of the control group of this process and of all above it, where the system has them in one tree."""
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                yield from (cgroups / folder for folder in _upwards(group))


def _upwards(group: str) -> tuple[Path, ...]:
    place = Path(group.lstrip("/"))
    return (place, *place.parents)


def read_ahead(array: NDArray[np.uint8], share: float) -> None:
    """Ask the kernel for the file behind a mapped array, if it is at most this share of the memory.

    Its pages stay the page cache's: all processes of a machine share them, and they give way where memory is short.
    """
    mapped = array.base
    if isinstance(mapped, mmap.mmap) and array.nbytes <= share * memory_limit():
        mapped.madvise(mmap.MADV_WILLNEED)


def own_memory() -> int:
    """Bytes of physical memory that this process holds by itself, so without what it maps and shares; Linux."""
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
