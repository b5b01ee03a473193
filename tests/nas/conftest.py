"""Exports that several modules of tests read."""

from pathlib import Path

import pytest

from tests.nas.exports import KINDS, write_trained


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By kind a folder with winner.json; tests only read them."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    return {kind: write_trained(folder, kind).parent for kind, folder in folders.items()}
