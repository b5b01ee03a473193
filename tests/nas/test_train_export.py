"""Exported networks trained in full: sound files of the same format, the same bits after a crash."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import nas
from nas.diff import diff_exports
from nas.export import ExportError
from nas.train_export import FullTraining, train_export
from nas.verify import verify_export
from search_spaces import NasError
from tests.conftest import environment, run_nas
from tests.nas.exports import KINDS, write_untrained
from trials.full_training import Epoch

SCRIPT = """
import sys
import trials.full_training
trials.full_training.STATE_SECONDS = 0.0
from nas.cli import main
sys.argv = ["nas", *sys.argv[1:]]
main()
"""


def quiet(number: int, epoch: Epoch) -> None:
    """Says nothing."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_new_file_is_sound(exports: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Trained for longer by another recipe; its accuracies are what its weights score, and the search's are kept."""
    before = nas.load(exports[kind] / "winner.json").info
    told: list[tuple[int, int, int]] = []
    how = FullTraining(epochs=3, preset="fast", seed=7)
    info = train_export(
        exports[kind] / "winner.json",
        tmp_path / "full.json",
        how,
        force=False,
        report=lambda number, epoch: told.append((number, epoch.done, epoch.of)),
    )
    networks = len(before.networks)
    assert told == [(number, done, 3) for number in range(networks) for done in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.json", "full.safetensors"]
    assert verify_export(tmp_path / "full.json", score=True)["test_accuracy"] == info.test_accuracy.mean
    assert (info.training.epochs, info.weights.seed, info.test_accuracy.n) == (3, 7, 1)
    assert info.network_id == before.network_id
    assert info.found == before.found, "what the search stated stays, however often it is trained"
    assert info.validation_accuracy.mean > 0.5
    if info.dynamic is not None:
        assert info.dynamic.bound is not None
        assert info.costs.macs <= info.dynamic.bound
        assert info.dynamic.exits[0].reached == {"validation": 1000, "test": 1000}
    assert nas.load(tmp_path / "full.json").info == info


def test_it_goes_on_from_the_exported_weights(exports: dict[str, Path], tmp_path: Path) -> None:
    source = exports["static"] / "winner.json"
    losses: dict[bool, list[float]] = {}
    for goes_on in (False, True):
        losses[goes_on] = []
        train_export(
            source,
            tmp_path / f"{goes_on}.json",
            FullTraining(epochs=1, goes_on=goes_on),
            force=False,
            report=lambda number, epoch, goes_on=goes_on: losses[goes_on].append(epoch.loss),  # type: ignore[misc]
        )
    assert losses[True][0] < losses[False][0] - 0.2
    info = nas.load(tmp_path / "True.json").info
    assert info.training.start_sha256 == nas.load(source).info.weights.sha256
    assert nas.load(tmp_path / "False.json").info.training.start_sha256 == ""


def test_other_images(exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are split by the file's shares, and normalised by their own statistics."""
    random = np.random.default_rng(0)
    labels = np.arange(200) % 10
    images = (random.integers(0, 60, (200, 12, 12)) + 19 * labels[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    np.savez(tmp_path / "two.npz", images=images, labels=labels % 2)
    monkeypatch.chdir(tmp_path)
    source = exports["static"] / "winner.json"
    how = FullTraining(epochs=4, source="mine.npz")
    info = train_export(source, Path("mine.json"), how, force=False, report=quiet)
    assert info.data.sizes == {"train": 120, "validation": 40, "test": 40}
    assert info.preprocessing.mean != nas.load(source).info.preprocessing.mean
    assert info.found is not None
    assert info.found.data.source == "mnist5k"
    assert not diff_exports(source, Path("mine.json"))["same_images"]
    with pytest.raises(ExportError, match=r"1 channels and 10 classes as those of .*, but two\.npz has 1 and 2"):
        train_export(source, Path("no.json"), FullTraining(source="two.npz"), force=False, report=quiet)
    assert not Path("no.json").exists()


def test_killed_it_goes_on_to_the_same_bits(exports: dict[str, Path], tmp_path: Path) -> None:
    """kill -9 in the second network of a cascade: what is trained is not trained again."""
    source = exports["cascade"] / "winner.json"
    flags = ["--epochs", "3", "--seed", "3"]
    command = [sys.executable, "-c", SCRIPT, "train", str(source), *flags, "-o", "full.json"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("network 2, epoch 1 of 3"):
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full-training"]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment())
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0].startswith(("network 2, epoch 2 of 3", "network 2, epoch 3 of 3"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.json", "full.safetensors"]
    train_export(source, tmp_path / "whole.json", FullTraining(epochs=3, seed=3), force=False, report=quiet)
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "full.safetensors").read_bytes()
    found = diff_exports(tmp_path / "whole.json", tmp_path / "full.json")
    assert found["same_weights"]
    assert found["accuracy"]["test"][0] == found["accuracy"]["test"][1]


def test_what_cannot_be(exports: dict[str, Path], tmp_path: Path) -> None:
    source = exports["static"] / "winner.json"
    target = tmp_path / "full.json"
    target.write_text("mine")
    with pytest.raises(ExportError, match=r"the file must be new, but .*full\.json exists"):
        train_export(source, target, FullTraining(epochs=1), force=False, report=quiet)
    assert target.read_text() == "mine"
    (tmp_path / "other-training").mkdir()
    with (
        FileLock(tmp_path / "other-training" / "lock"),
        pytest.raises(ExportError, match="must be trained by one process, but another one trains it now"),
    ):
        train_export(source, tmp_path / "other.json", FullTraining(epochs=1), force=False, report=quiet)
    with pytest.raises(NasError, match="the device must be one that torch has, such as cpu or cuda, but 'toaster'"):
        train_export(source, tmp_path / "x.json", FullTraining(device="toaster"), force=False, report=quiet)
    path = write_untrained(tmp_path / "old", "static")
    content = json.loads(path.read_text())
    content["training"]["recipe"] = None
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match="must state the recipe of its training, but is older than that; choose one"):
        train_export(path, tmp_path / "old.json", FullTraining(epochs=1), force=False, report=quiet)
    content["data"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"the images must be those of .*, but mnist5k has other ones"):
        train_export(path, tmp_path / "old.json", FullTraining(epochs=1, preset="fast"), force=False, report=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.json", "old", "other-training"]


def test_a_training_that_diverges_is_one_line(exports: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(exports["static"], tmp_path / "copy")
    path = tmp_path / "copy" / "winner.json"
    content = json.loads(path.read_text())
    content["training"]["recipe"] |= {"learning_rate": 1000.0, "epochs": 2}
    path.write_text(json.dumps(content))
    with pytest.raises(NasError, match="the loss must"):
        train_export(path, tmp_path / "full.json", FullTraining(), force=False, report=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.slow
def test_the_command(exports: dict[str, Path], tmp_path: Path) -> None:
    source = str(exports["static"] / "winner.json")
    done = run_nas(tmp_path, "train", source, "--epochs", "1", "-o", "full.json")
    assert done.returncode == 0, done.stderr
    assert "network 1, epoch 1 of 1: loss " in done.stderr
    assert "next: nas diff" in done.stdout
    again = run_nas(tmp_path, "train", source, "--epochs", "1", "-o", "full.json")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
