"""A search on images of the user's own, from the folder to the verified winner."""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_nas, write_spec
from trials import DataSettings
from trials.dataset import load_dataset


def write_digits(folder: Path, count: int) -> None:
    """Real digits as PNG files in class folders below train and test."""
    digits = load_dataset(DataSettings(source="mnist5k"))
    for part in ("train", "test"):
        for digit in range(10):
            place = folder / part / f"digit {digit}"
            place.mkdir(parents=True)
            own = digits.splits[part]
            for i in own[digits.labels[own] == digit][:count]:
                Image.fromarray(digits.images[i, 0]).save(place / f"{i}.png")


@pytest.mark.slow
def test_from_a_folder_to_the_winner(tmp_path: Path) -> None:
    images = tmp_path / "of alice" / "my digits"
    write_digits(images, 40)
    spec = write_spec(
        tmp_path,
        data={"source": str(images), "root": str(tmp_path)},
        train={"epochs": 1, "seeds": 1},
        search={"max_candidates": 1},
    )
    done = run_nas(tmp_path, "search", str(spec), "--local")
    assert done.returncode == 0, done.stderr
    assert run_nas(tmp_path, "export", "small", "-o", "winner.json").returncode == 0
    says_nothing_of_this_machine(tmp_path / "winner.json")
    lost = run_nas(tmp_path, "verify", "winner.json", "--score")
    assert lost.returncode == 2
    assert (
        "was scored on 'my digits', which must be in this folder, but is not; name the images by --data" in lost.stderr
    )
    for folder, options in ((tmp_path, ("--data", str(images))), (images.parent, ())):
        verified = run_nas(folder, "verify", str(tmp_path / "winner.json"), "--score", *options)
        assert verified.returncode == 0, verified.stderr
        assert "test split scored again" in verified.stdout
    changed = images / "test" / "digit 3"
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(next(changed.iterdir()))
    assert run_nas(images.parent, "verify", str(tmp_path / "winner.json"), "--score").returncode == 2


def says_nothing_of_this_machine(path: Path) -> None:
    """No path and no user, in the exported file as well as in the weights beside it."""
    text = path.read_text()
    assert json.loads(text)["data"]["source"] == "my digits"
    for told in (str(path.parent), str(Path.home()), "alice", platform.node(), str(Path(sys.prefix))):
        assert told not in text.replace('"root": ""', "")
        assert told.encode() not in path.with_suffix(".safetensors").read_bytes()


def test_one_clear_line(tmp_path: Path) -> None:
    done = run_nas(tmp_path, "plan", str(write_spec(tmp_path, data={"source": "nowhere"})))
    assert done.returncode == 2
    assert done.stderr.startswith("error: data.source must be mnist5k, torchvision:NAME, or a folder")
    assert len(done.stderr.splitlines()) == 1
