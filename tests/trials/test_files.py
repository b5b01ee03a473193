"""Files, whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_disk import fill, small_disk
from trials.files import FilesError, try_folder, write_atomically


def test_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_atomically({tmp_path / "a": content, tmp_path / "b": content})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"second", "b": b"second"}


def test_all_files_or_none(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"before")
    with pytest.raises(FilesError, match="files must be writable"):
        write_atomically({old: b"after", tmp_path / "no-folder" / "new": b"x"})
    assert old.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [old]


def test_disk_that_takes_no_more(tmp_path: Path) -> None:
    # a limit on file size fails a write in the middle, as a full disk does
    script = (
        "import resource, sys; from pathlib import Path; from trials.files import write_atomically;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "write_atomically({Path(sys.argv[1]): b'x' * 2000})"
    )
    target = tmp_path / "a.safetensors"
    done = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False)
    assert "FilesError: files must be writable" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    try_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        try_folder(tmp_path / "nowhere")


def test_a_folder_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        fill(disk)
        with pytest.raises(OSError, match="No space left on device"):
            try_folder(disk)
        assert [path.name for path in disk.iterdir()] == ["filler"]
