"""How many cores this process may use."""

import os
from pathlib import Path

from trials.memory import CGROUPS, own_groups


def usable_cores(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """The cores that it may run on or, where that is less, what its control group gives it time for; at least 1."""
    cores = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for folder in own_groups(cgroups, membership):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            cores.append(max(1, int(quota) // int(period)))
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
            continue
    return min(cores)
