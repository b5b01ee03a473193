"""What makes a training step quicker on this machine, and what does not; and how long images take to open.

`python -m benchmarks.kernels`, one core: medians of steps of batches of 100. The numbers behind docs/benchmarks.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from rich.console import Console

from benchmarks.engine import CIFAR
from benchmarks.make_curves import choose_networks
from benchmarks.naive import quarter_vgg11
from benchmarks.quickstart import quickstart
from nas.tables import make_table
from search_spaces import Architecture, Conv, LeNet, count_cost
from search_spaces.build import build
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths
from trials.measure import measure_step
from trials.optimize import Optimizer
from trials.recipe import preset
from trials.run import keep_memory

STEPS = 15
BORJI = preset("borji")
SMALL = LeNet(
    conv1=Conv(out_channels=8, kernel=3), conv2=Conv(out_channels=16, kernel=5), hidden=50, pool=False
).architecture((1, 14, 14), 10)
OPEN = """
import sys, time
from trials import DataSettings
from trials.dataset import load_dataset
from trials.images import open_split
settings = DataSettings(source=sys.argv[1])
start = time.perf_counter()
open_split(load_dataset(settings), "train", 32)
print(time.perf_counter() - start)
start = time.perf_counter()
open_split(load_dataset(settings), "train", 24)
print(time.perf_counter() - start)
"""


def seconds(run: Callable[[], object], repeats: int = 20) -> float:
    """Median after three runs that do not count."""
    times = [time.perf_counter()]
    for _ in range(repeats + 3):
        run()
        times.append(time.perf_counter())
    return median(later - earlier for earlier, later in pairwise(times[3:]))


def product_gflops(dtype: torch.dtype) -> float:
    """Speed of a product of large matrices."""
    left, right = torch.randn(2048, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
    return 2 * 2048 * 1024 * 1024 / seconds(lambda: left @ right) / 1e9


def step(architecture: Architecture, members: int = 1, precision: str = "fp32") -> float:
    """Seconds of a step."""
    recipe = BORJI.model_copy(update={"precision": precision})
    return measure_step(architecture, recipe, members=members, measured=STEPS)


def adadelta(architecture: Architecture) -> tuple[float, float]:
    """Seconds of the optimizer alone: on the tensors, and on one vector."""
    plain = build(architecture)
    for parameter in plain.parameters():
        parameter.grad = torch.zeros_like(parameter)
    theirs = torch.optim.Adadelta(plain.parameters())
    ours = Optimizer(build(architecture), BORJI, [1.0])
    return seconds(theirs.step), seconds(lambda: ours.step(1.0))


def without_stride_or_padding(networks: Sequence[Architecture]) -> None:
    """A row for each: its step, its speed, and the same with widths rounded up to multiples of 16."""
    table = make_table("px", "strides", "ms", "GFLOP/s", "widths to 16", title="LeNets, equal MACs")
    for network in networks:
        convs = [node.op for node in network.nodes if isinstance(node.op, Conv)]
        own = step(network)
        padded = with_widths(network, [-(-width // 16) * 16 for width in find_width_groups(network).widths])
        table.add_row(
            str(network.resolution),
            ", ".join(str(conv.stride) for conv in convs),
            f"{1000 * own:.1f}",
            f"{gflops(network, own):.0f}",
            f"{step(padded) / own:.2f} x",
        )
    Console().print(table)


def gflops(network: Architecture, taken: float) -> float:
    """Multiply-adds forward and twice backward, of a batch of 100, two operations each."""
    return 6 * 100 * count_cost(network).macs / taken / 1e9


def main() -> None:
    """Print all of it."""
    torch.set_num_threads(1)
    console = Console()
    lenet = choose_networks(quickstart(), 1)[0].architecture
    before = step(lenet), step(quarter_vgg11())
    keep_memory()  # stays for what follows
    after = step(lenet), step(quarter_vgg11())
    table = make_table("", "fp32", "bf16", title="products and steps", left=("",))
    table.add_row("product, GFLOP/s", *(f"{product_gflops(dtype):.0f}" for dtype in (torch.float32, torch.bfloat16)))
    for name, network, taken in (("LeNet", lenet, after[0]), ("VGG11 / 4", quarter_vgg11(), after[1])):
        half = step(network, precision="bf16")
        table.add_row(f"{name}, ms", f"{1000 * taken:.1f}", f"{1000 * half:.1f}")
        table.add_row(f"{name}, GFLOP/s", f"{gflops(network, taken):.0f}", f"{gflops(network, half):.0f}")
    console.print(table)
    for name, first, second in zip(("LeNet", "VGG11 / 4"), before, after, strict=True):
        console.print(f"{name}: memory given back {1000 * first:.1f} ms, kept {1000 * second:.1f} ms")
    theirs, ours = adadelta(lenet)
    console.print(f"Adadelta of the LeNet: by tensors {1000 * theirs:.2f} ms, as one vector {1000 * ours:.2f} ms")
    for name, network, alone in (("LeNet", lenet, after[0]), ("LeNet of 8 and 16", SMALL, step(SMALL))):
        fused = ", ".join(f"{count}: {count * alone / step(network, count):.2f} x" for count in (3, 8))
        console.print(f"{name}, members fused: {fused}")
    without_stride_or_padding([network.architecture for network in choose_networks(quickstart(), 8)])
    if CIFAR.exists():
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"XDG_CACHE_HOME": cache}
            for when in ("first", "second"):
                command = [sys.executable, "-c", OPEN, str(CIFAR)]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                native, resized = map(float, done.stdout.split())
                console.print(f"{CIFAR.name}, {when} time: {native:.2f} s at 32 px, then {resized:.2f} s at 24 px")


if __name__ == "__main__":
    main()
