"""How good an exported network is on images: accuracy, by class, calibration, and where images leave."""

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from nas.export import LoadedNetwork, load_export
from nas.exported_images import are_own, open_images
from nas.tables import make_table
from search_spaces import Architecture
from search_spaces.routing import confidences
from trials.calibration import expected_calibration_error
from trials.data import SplitName
from trials.images import open_split
from trials.memory_plan import SCORING_BATCH


def evaluate_export(
    path: Path, *, split: SplitName = "test", source: str | None = None, root: str | None = None
) -> dict[str, Any]:
    """What the network answers on a split of its own images, or of others (`source`, `root`, as in a spec).

    Confidences are the calibrated ones where images leave at several exits, else those of the softmax. Raises
    ExportError for images that are not of its channels and classes.
    """
    loaded = load_export(path)
    settings, dataset = open_images(path, loaded.info, source, root)
    data = open_split(dataset, split, dataset.images.shape[2])
    found = [(*_answers(loaded, images), labels) for images, labels in data.batches(SCORING_BATCH)]
    sure, predicted, exits, labels = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    right = predicted == labels
    accuracy = float(right.mean())
    result: dict[str, Any] = {
        "file": str(path),
        "source": settings.source,
        "split": split,
        "own_images": are_own(loaded.info, dataset),
        "images": len(labels),
        "correct": int(right.sum()),
        "accuracy": accuracy,
        "standard_error": sqrt(accuracy * (1 - accuracy) / len(labels)),
        "mean_confidence": float(sure.mean()),
        "expected_calibration_error": expected_calibration_error(sure, right),
        "classes": [
            {
                "class": number,
                "images": int((labels == number).sum()),
                "answered": int((predicted == number).sum()),
                "correct": int(right[labels == number].sum()),
            }
            for number in range(_classes(loaded))
        ],
    }
    if loaded.info.dynamic is not None:
        macs = [one.macs for one in loaded.info.dynamic.exits]
        reached = [int((exits >= number).sum()) for number in range(len(macs))]
        result["exits"] = [
            {
                "exit": number,
                "answered": int((exits == number).sum()) / len(labels),
                "accuracy": float(right[exits == number].mean()) if (exits == number).any() else None,
                "macs": own,
            }
            for number, own in enumerate(macs)
        ]
        result["expected_macs"] = float(np.dot(reached, macs) / len(labels))
    return result


@torch.inference_mode()
def _answers(loaded: LoadedNetwork, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of images uint8 [B, C, H, W] the confidence [B], the class [B] and the exit [B] that answered."""
    scores, exits = loaded.route(images)
    dynamic = loaded.info.dynamic
    if dynamic is None:
        return confidences(scores), scores.argmax(1), exits
    temperatures = torch.tensor([one.temperature for one in dynamic.exits], dtype=torch.float64)
    return confidences(scores.double() / temperatures[exits][:, None]), scores.argmax(1), exits


def print_evaluation(console: Console, result: dict[str, Any]) -> None:
    """The same for people."""
    console.print(
        f"{result['split']} of {result['source']}: {result['correct']:,} of {result['images']:,} images right, "
        f"accuracy {result['accuracy']:.4f} (standard error {result['standard_error']:.4f})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if not result["own_images"]:
        console.print("these are other images than those that it was chosen and tested on")
    console.print(
        f"mean confidence {result['mean_confidence']:.4f}, expected calibration error "
        f"{result['expected_calibration_error']:.4f}",
        highlight=False,
        soft_wrap=True,
    )
    table = make_table("class", "images", "answered", "right", "recall", "precision")
    for row in result["classes"]:
        table.add_row(
            str(row["class"]),
            f"{row['images']:,}",
            f"{row['answered']:,}",
            f"{row['correct']:,}",
            _share(row["correct"], row["images"]),
            _share(row["correct"], row["answered"]),
        )
    console.print(table)
    if "exits" not in result:
        return
    table = make_table("exit", "answers", "accuracy there", "macs to go on to it")
    for row in result["exits"]:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.4f}"
        table.add_row(str(row["exit"] + 1), f"{row['answered']:.1%}", accuracy, f"{row['macs']:,}")
    console.print(table)
    console.print(f"expected multiply-adds: {result['expected_macs']:,.0f}", highlight=False)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f}" if whole else ""


def _classes(loaded: LoadedNetwork) -> int:
    (classes,) = Architecture.from_json(loaded.info.networks[0]).output
    return int(classes)
