"""How fast exact frontiers of thresholds are found, beside scanning 100 thresholds an exit (`make bench`).

Images are easy or hard at all exits alike, later exits are better, and confidences are what they say. What a scan
misses: of 10,000 images, how many are right on the exact frontier beyond the best of the scan for no more MACs, the
most and the mean over the frontier's points.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.clock import seconds
from nas.tables import make_table
from trials.thresholds import Frontier, find_frontier

IMAGES = 10_000
GRID = np.linspace(0, 1, 100)
MACS = (600_000_000, 1_800_000_000, 4_000_000_000)


def draw_exits(stages: int, images: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences and which are right [S, N]: about 80, 85 and 89 % of ten classes."""
    generator = np.random.default_rng(seed)
    ease = generator.normal(0, 2, images)
    score = ease + np.array([2.2, 2.8, 3.3])[:stages, np.newaxis] + generator.normal(0, 1, (stages, images))
    confidence = 0.1 + 0.9 / (1 + np.exp(-score))
    return confidence, generator.random((stages, images)) < confidence


def scan(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], macs: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right images and MACs of all thresholds of the grid, as one would write it with numpy."""
    found = []
    sent_on = [[row <= threshold for threshold in GRID] for row in confidence[:-1]]
    for masks in product(*sent_on):
        here = np.ones(confidence.shape[1], bool)
        right, cost = 0, confidence.shape[1] * macs[0]
        for i, mask in enumerate(masks):
            right += int(np.count_nonzero(correct[i] & here & ~mask))
            here = here & mask
            cost += int(np.count_nonzero(here)) * macs[i + 1]
        found.append((right + np.count_nonzero(correct[-1] & here), cost))
    pairs = np.array(found, np.int64)
    return pairs[:, 0], pairs[:, 1]


def missed(frontier: Frontier, correct: NDArray[np.int64], macs: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many more images are right on the frontier [P] than at the best point of a scan for no more MACs."""
    order = np.argsort(macs)
    best = np.maximum.accumulate(correct[order])
    return np.asarray(frontier.correct - best[np.searchsorted(macs[order], frontier.macs, side="right") - 1])


def main() -> None:
    """Print a table."""
    table = make_table("exits", "points", "s", "scan of", "s", "ratio", "scan misses", left=("exits",))
    for stages in (2, 3):
        confidence, correct = draw_exits(stages, IMAGES)
        macs = MACS[:stages]
        frontier = find_frontier(confidence, correct, macs)
        exact = seconds(lambda: find_frontier(confidence, correct, macs), repeats=5)  # noqa: B023
        by_grid = seconds(lambda: scan(confidence, correct, macs), repeats=5)  # noqa: B023
        gap = missed(frontier, *scan(confidence, correct, macs))
        table.add_row(
            str(stages),
            f"{len(frontier):,}",
            f"{exact:.3f}",
            f"{len(GRID) ** (stages - 1):,}",
            f"{by_grid:.3f}",
            f"{by_grid / exact:.2f}",
            f"{gap.max()}, {gap.mean():.1f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
