"""How long it takes to find one of the best of 40 feasible networks: `nas search` with a race, start-up included,
against Ray Tune with its defaults, PIL and a DataLoader, every network trained in full.

What both find is judged by the mean of fresh seeds of all 40 networks, trained afterwards.
`python -m benchmarks.headline` takes a quarter of an hour on two cores.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.make_curves import choose_networks, train_curves
from benchmarks.quickstart import write_quickstart
from nas.spec import Spec, read_spec
from nas.tables import make_table

CANDIDATES, JUDGES = 40, range(100, 104)


def search(folder: Path, spec: Path) -> tuple[float, str]:
    """Wall time, and the id of the candidate with the highest validation accuracy."""
    start = time.perf_counter()
    command, environment = [sys.executable, "-m", "nas"], os.environ | {"PYTHONPATH": str(Path.cwd())}
    subprocess.run([*command, "search", str(spec)], check=True, capture_output=True, env=environment, cwd=folder)
    seconds = time.perf_counter() - start
    listing = subprocess.run(
        [*command, "front", "headline", "--json"], check=True, capture_output=True, env=environment, cwd=folder
    )
    networks = [network for network in json.loads(listing.stdout)["front"] if network["method"] != "base"]
    return seconds, max(networks, key=lambda network: network["validation_accuracy"]["mean"])["id"]


def tune_defaults(spec: Path) -> tuple[float, str]:
    """The same of Ray Tune as its tutorial has it: one trial a network, in full, in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.tune_defaults", str(spec), str(CANDIDATES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout.split()[-1]


def judge(spec: Spec) -> tuple[list[str], NDArray[np.float64]]:
    """Ids and validation accuracies [networks, seeds] at the end of full trainings with fresh seeds."""
    networks = choose_networks(spec, CANDIDATES)[1:]
    with ProcessPoolExecutor(max_workers=2) as pool:
        curves = pool.map(train_curves, networks, repeat(JUDGES), repeat(spec), repeat(spec.train.epochs))
        accuracies = [[curve[-1] for curve in accuracy] for accuracy, _ in curves]
    return [network.id for network in networks], np.array(accuracies)


def main() -> None:
    """Run both, then judge."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        train, race = {"seeds": 1, "confirm": 0}, {"eta": 3}
        spec = write_quickstart(
            Path(name), name="headline", train=train, race=race, search={"max_candidates": CANDIDATES}
        )
        found = {"nas search, race": search(Path(name), spec), "Ray Tune's defaults": tune_defaults(spec)}
        console.print(found)
        ids, accuracies = judge(read_spec(spec))
    means = accuracies.mean(1)
    noise = float(np.sqrt(accuracies.var(1, ddof=1).mean()))
    table = make_table("", "seconds", "found", "below the best", title=f"one of {CANDIDATES} networks", left=("",))
    for way, (seconds, winner) in found.items():
        mean = means[ids.index(winner)]
        table.add_row(way, f"{seconds:.1f}", f"{mean:.4f}", f"{means.max() - mean:.4f}")
    console.print(table)
    (ours, _), (theirs, _) = found.values()
    console.print(
        f"ratio {theirs / ours:.1f}; mean of all {means.mean():.4f}, best {means.max():.4f}, "
        f"spread over seeds {noise:.4f} (means of {len(JUDGES)} fresh seeds, 1,000 validation images)",
        highlight=False,
    )


if __name__ == "__main__":
    main()
