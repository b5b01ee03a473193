"""Measured seconds per training step, kept per machine, so that `nas plan` measures a network once."""

import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from trials.files import FilesError, write_atomically


class StepTimes:
    """Seconds of one training step by network id and batch size, on this machine with this torch."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or user_cache_path("nas-service")) / "step-times.json"
        self._machine = f"{platform.node()}, {os.cpu_count()} CPUs, torch {version('torch')}"

    def measured(self, architecture_id: str, batch_size: int, measure: Callable[[], float]) -> float:
        """The time, measured where it is not known yet."""
        known = self.read(architecture_id, batch_size)
        if known is None:
            known = measure()
            self.write(architecture_id, batch_size, known)
        return known

    def read(self, architecture_id: str, batch_size: int) -> float | None:
        """The measured time, or None."""
        known = self._all().get(self._key(architecture_id, batch_size))
        return known if isinstance(known, float) else None

    def write(self, architecture_id: str, batch_size: int, seconds: float) -> None:
        """Keep a time; where the folder cannot be written, it is measured again next time."""
        known = self._all() | {self._key(architecture_id, batch_size): seconds}
        with suppress(OSError, FilesError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically({self._path: json.dumps(known).encode()})

    def _key(self, architecture_id: str, batch_size: int) -> str:
        return f"{self._machine}: {architecture_id} x {batch_size}"

    def _all(self) -> dict[str, float]:
        try:
            return dict(json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return {}
