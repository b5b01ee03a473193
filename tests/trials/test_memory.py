"""Limits of memory, as the kernel states them."""

import os
from pathlib import Path

import numpy as np
import pytest

from trials.memory import memory_limit, read_ahead

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/user/app\n", {"user/app/memory.max": "4096\n"}, 4096),
        ("0::/user/app\n", {"user/app/memory.max": "max\n", "user/memory.max": "8192\n"}, 8192),
        ("0::/\n", {"memory.max": "4096\n"}, 4096),  # in a container
        ("5:cpu:/x\n4:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": "4096"}, 4096),  # version 1
        ("4:memory:/x\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, PHYSICAL),  # version 1 without a limit
        ("5:cpu:/x\n", {"memory.max": "4096\n"}, PHYSICAL),
        ("0::/\n", {}, PHYSICAL),
    ],
)
def test_the_lowest_limit_counts(tmp_path: Path, membership: str, files: dict[str, str], expected: int) -> None:
    write(tmp_path / "membership", membership)
    for name, text in files.items():
        write(tmp_path / "cgroup" / name, text)
    assert memory_limit(tmp_path / "cgroup", tmp_path / "membership") == expected


def test_without_control_groups(tmp_path: Path) -> None:
    assert memory_limit(tmp_path / "cgroup", tmp_path / "nothing") == PHYSICAL


def test_of_this_process() -> None:
    assert 2**20 < memory_limit() <= PHYSICAL


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_reading_ahead_changes_nothing(tmp_path: Path, share: float) -> None:
    pixels = np.arange(5000, dtype=np.int64).astype(np.uint8)
    (tmp_path / "x").write_bytes(pixels.tobytes())
    mapped = np.memmap(tmp_path / "x", np.uint8, "r")
    read_ahead(mapped, share)
    read_ahead(pixels, share)  # in memory already
    assert np.array_equal(mapped, pixels)
