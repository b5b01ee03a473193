"""How many cores a process may use: what it may run on, and what its control group gives it."""

import os
from pathlib import Path

import pytest

from trials.cores import usable_cores


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, 64),
        ({"a/b": "max 100000"}, 64),
        ({"a/b": "200000 100000"}, 2),
        ({"a": "350000 100000", "a/b": "max 100000"}, 3),
        ({"": "50000 100000", "a": "800000 100000"}, 1),
        ({"a": "nonsense"}, 64),
        ({"c": "100000 100000"}, 64),
    ],
)
def test_the_least_limit_counts(
    limits: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(f"{limit}\n")
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/elsewhere\n0::/a/b\n")
    assert usable_cores(tmp_path, membership) == cores


def test_this_process() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
