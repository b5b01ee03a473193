"""How fast costs are counted, as ratios in one run on one core. Run by `make bench`; docs/benchmarks.md has results."""

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable

import fvcore.nn
import numpy as np
import ptflops
import torch
import torchinfo
import torchvision
from numpy.typing import NDArray
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import seconds
from nas.tables import make_table
from search_spaces import Architecture, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.build import build
from search_spaces.trace import trace
from search_spaces.widths import with_widths
from search_spaces.zoo import make_network

CANDIDATES = 1_000_000
COUNTED_ALONE = 5  # by each other counter


def draw_widths(batch: BatchCost, count: int) -> NDArray[np.int64]:
    """Widths [T, G] from a quarter to twice the network's own."""
    own = np.array(batch.groups.widths)
    scales = np.random.default_rng(0).uniform(0.25, 2, (count, len(own)))
    return np.maximum(1, (own * scales).astype(np.int64))


def count_flops_torch(module: nn.Module) -> int:
    """By torch's own counter."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, 224, 224))
    return int(counter.get_total_flops())


def count_flops_fvcore(module: nn.Module) -> int:
    """By fvcore."""
    analysis = fvcore.nn.FlopCountAnalysis(module, torch.zeros(1, 3, 224, 224))
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def count_flops_ptflops(module: nn.Module) -> int:
    """By ptflops."""
    return int(
        ptflops.get_model_complexity_info(module, (3, 224, 224), as_strings=False, print_per_layer_stat=False)[0]
    )


def count_flops_torchinfo(module: nn.Module) -> int:
    """By torchinfo."""
    return int(torchinfo.summary(module, (1, 3, 224, 224), verbose=0).total_mult_adds)


COUNTERS = {
    "torch": count_flops_torch,
    "fvcore": count_flops_fvcore,
    "ptflops": count_flops_ptflops,
    "torchinfo": count_flops_torchinfo,
}


def count_modules(counter: Callable[[nn.Module], int], candidates: list[Architecture]) -> None:
    """Build every candidate and count it, as a search with this counter would."""
    for candidate in candidates:
        counter(build(candidate).eval())


def main() -> None:
    """Print one table."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    network = make_network("resnet18")
    batch = BatchCost(network)
    widths = draw_widths(batch, CANDIDATES)
    table = make_table("ResNet18 at 224 px", "a second", "ours is faster by", left=("ResNet18 at 224 px",))
    ours = CANDIDATES / seconds(lambda: batch.costs(widths))
    table.add_row("BatchCost, a million widths", f"{ours:,.0f}", "")
    some = [with_widths(network, row.tolist(), batch.groups) for row in widths[:COUNTED_ALONE]]
    alone = COUNTED_ALONE / seconds(lambda: [count_cost(candidate) for candidate in some])
    table.add_row("count_cost, one by one", f"{alone:,.0f}", f"{ours / alone:,.0f}")
    for name, counter in COUNTERS.items():
        rate = COUNTED_ALONE / seconds(lambda counter=counter: count_modules(counter, some), repeats=3)  # type: ignore[misc]
        table.add_row(f"{name}, one by one", f"{rate:,.1f}", f"{ours / rate:,.0f}")
    for other in ("mobilenet_v2", "densenet121"):
        counter_of = BatchCost(make_network(other))
        rows = draw_widths(counter_of, CANDIDATES // 10)
        rate = len(rows) / seconds(lambda counter_of=counter_of, rows=rows: counter_of.costs(rows))  # type: ignore[misc]
        table.add_row(f"BatchCost, {other}, {len(counter_of.groups.groups)} width groups", f"{rate:,.0f}", "")
    console = Console(width=100)
    console.print(table)

    module = torchvision.models.resnet18()
    times = make_table("once", "seconds", left=("once",))
    times.add_row("trace torchvision's ResNet18", f"{seconds(lambda: trace(module, (3, 224, 224))):.3f}")
    times.add_row("nas cost resnet18, whole process", f"{seconds(lambda: run('-m', 'nas', 'cost', 'resnet18')):.2f}")
    times.add_row("python -c 'import torch', whole process", f"{seconds(lambda: run('-c', 'import torch')):.2f}")
    console.print(times)


def run(*arguments: str) -> None:
    """Another Python process."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
