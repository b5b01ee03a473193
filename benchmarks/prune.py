"""How much time physical shrinking saves while pruning: one iteration, shrunk and masked, in one run on one core.

`python -m benchmarks.prune [SHARE [BATCHES]]`: VGG11 at a share of its width (a quarter) on
../shared/data/cifar10-25k.tar.gz, or the archive that CIFAR names; so many minibatches of 128 a step (8). Both remove
4 % of the channels a step until 5 % are left, a step of one and then a step of the other, so that what else runs on the
machine slows both.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from rich.console import Console

from benchmarks.engine import CIFAR
from nas.tables import make_table
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from trials import DataSettings
from trials.dataset import load_dataset
from trials.images import open_split
from trials.prune import Pruning
from trials.prune_settings import PruneSettings
from trials.run import keep_memory


def time_prunings(share: float, batches: int) -> dict[str, list[float]]:
    """Seconds of each step of the shrunk and of the masked pruning, removal included."""
    data = open_split(load_dataset(DataSettings(source=str(CIFAR))), "train", 32)
    network = scale_widths(make_network("vgg11"), share)
    runs = {
        name: Pruning(
            network,
            data,
            PruneSettings(
                pretrain_epochs=0, batch_size=128, batches=batches, channels=0.04, mask_only=name == "masked"
            ),
            seed=0,
        )
        for name in ("shrunk", "masked")
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    while not all(run.finished for run in runs.values()):
        for name, run in runs.items():
            if not run.finished:
                start = time.perf_counter()
                run.run_step()
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main(share: float = 0.25, batches: int = 8) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_memory()
    seconds = time_prunings(share, batches)
    table = make_table("", "steps", "seconds", "first", "middle", "last", title=f"VGG11 at {share:g}", left=("",))
    for name, row in seconds.items():
        marks = [f"{row[i]:.2f}" for i in (0, len(row) // 2, -1)]
        table.add_row(name, str(len(row)), f"{sum(row):.1f}", *marks)
    console = Console()
    console.print(table)
    ratio = sum(seconds["masked"]) / sum(seconds["shrunk"])
    console.print(f"ratio {ratio:.2f}; load {os.getloadavg()[0]:.2f}", highlight=False)


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((float, int), sys.argv[1:], strict=False)))
