"""What an exported network answers: the sums agree with each other and with what the file states."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.evaluate import evaluate_export
from tests.conftest import run_nas
from tests.nas.exports import KINDS
from trials import DataSettings
from trials.calibration import confidences, expected_calibration_error
from trials.data import SplitName
from trials.dataset import load_dataset


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_it_agrees_with_the_file(exports: dict[str, Path], kind: str, split: SplitName) -> None:
    path = exports[kind] / "winner.json"
    info = nas.load(path).info
    found = evaluate_export(path, split=split)
    stated = info.weights.validation_accuracy if split == "validation" else info.weights.test_accuracy
    assert found["accuracy"] == stated == found["correct"] / found["images"]
    assert found["own_images"]
    for name in ("images", "answered"):
        assert sum(row[name] for row in found["classes"]) == 1000
    assert sum(row["correct"] for row in found["classes"]) == found["correct"]
    if info.dynamic is None:
        assert "exits" not in found
        return
    reached = [one.reached[split] for one in info.dynamic.exits]
    answered = np.array(reached) - np.array([*reached[1:], 0])
    assert [row["answered"] for row in found["exits"]] == pytest.approx(answered / 1000)
    right = sum(row["accuracy"] * row["answered"] for row in found["exits"])
    assert right == pytest.approx(found["accuracy"])
    if split == "validation":
        assert found["expected_macs"] == info.costs.macs


def test_calibration_is_that_of_the_scores(exports: dict[str, Path]) -> None:
    path = exports["static"] / "winner.json"
    dataset = load_dataset(DataSettings(source="mnist5k"))
    rows = dataset.splits["test"]
    with torch.inference_mode():
        scores = nas.load(path)(torch.from_numpy(dataset.images[rows])).numpy()
    sure, predicted = confidences(scores)
    found = evaluate_export(path)
    wanted = expected_calibration_error(sure, predicted == dataset.labels[rows])
    assert found["expected_calibration_error"] == pytest.approx(wanted, abs=1e-6)
    assert found["mean_confidence"] == pytest.approx(float(sure.mean()), abs=1e-6)


def test_other_images(exports: dict[str, Path], tmp_path: Path) -> None:
    """All of one class but one a class, so that every split holds each."""
    labels = np.arange(100) % 10
    np.savez(tmp_path / "mine.npz", images=np.zeros((100, 20, 20), np.uint8), labels=labels)
    np.savez(tmp_path / "colour.npz", images=np.zeros((100, 20, 20, 3), np.uint8), labels=labels)
    path = str(exports["msnet"] / "winner.json")
    done = run_nas(tmp_path, "evaluate", path, "--data", "mine.npz", "--split", "train", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["own_images"], found["accuracy"]) == (60, False, 0.1)
    shown = run_nas(tmp_path, "evaluate", path, "--data", "mine.npz")
    assert "these are other images" in shown.stdout
    assert "expected multiply-adds" in shown.stdout
    refused = run_nas(tmp_path, "evaluate", path, "--data", "colour.npz")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "images must be of 1 channels and 10 classes" in refused.stderr
