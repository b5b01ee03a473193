"""Does an exported file hold what it says? Rebuilds, counts and hashes; on demand scores the test split again."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from nas.export import ExportError, LoadedNetwork, load_export
from nas.export_format import MAC_RULE
from nas.exported_images import open_images
from nas.tables import make_table
from search_spaces import LATENCY
from trials.images import open_split
from trials.memory_plan import SCORING_BATCH


def verify_export(path: Path, *, score: bool, data: str | None = None, root: str | None = None) -> dict[str, Any]:
    """What was found: costs counted again, slack, hash. Raises NasError where the file says something else.

    `data` and `root` are where the images are on this machine, as data.source and data.root of a spec.
    """
    loaded = load_export(path)
    info = loaded.info
    built = sum(parameter.numel() for parameter in loaded.network.parameters())
    verified: dict[str, Any] = {
        "file": str(path),
        "costs": info.costs.model_dump(exclude_none=True),
        "params_of_torch_module": built,
        "budget": info.budget,
        "slack": info.slack,
        "weights_sha256": info.weights.sha256,
        "mac_rule": MAC_RULE,
    }
    if score:
        verified["test_accuracy"] = score_again(path, loaded, data, root)
    return verified


def score_again(path: Path, loaded: LoadedNetwork, data: str | None = None, root: str | None = None) -> float:
    """Accuracy on the test split, from pixels; raises ExportError where images or accuracy are not the file's."""
    info = loaded.info
    _, dataset = open_images(path, info, data, root, own=True)
    test = open_split(dataset, "test", dataset.images.shape[2])
    with torch.inference_mode():
        batches = test.batches(SCORING_BATCH)
        correct = sum(int((loaded(images).argmax(1) == labels).sum()) for images, labels in batches)
    accuracy = correct / len(test)
    if accuracy != info.weights.test_accuracy:
        raise ExportError(
            f"{path} must state what its weights score, but states {info.weights.test_accuracy}, scored {accuracy}"
        )
    return accuracy


def print_verified(console: Console, verified: dict[str, Any]) -> None:
    """The same as a table."""
    table = make_table("", "counted again", "bound", "slack", left=("",))
    for name, count in verified["costs"].items():
        if name == LATENCY:
            continue
        bound, slack = verified["budget"].get(name), verified["slack"].get(name)
        table.add_row(
            name,
            f"{count:,}",
            "none" if bound is None else f"{bound:,}",
            "" if slack is None else f"{slack:,}",
        )
    console.print(table)
    if LATENCY in verified["costs"]:
        line = f"{LATENCY}: {verified['costs'][LATENCY]:.4g} when the search began, not measured again"
        console.print(line, highlight=False)
    console.print(f"torch module: {verified['params_of_torch_module']:,} parameters; weights: hash as stated")
    if "test_accuracy" in verified:
        console.print(f"test split scored again: {verified['test_accuracy']:.4f}, as stated")
    console.print(f"[dim]{verified['mac_rule']}[/]")
