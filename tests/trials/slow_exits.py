"""Networks with exits by loops over images and all thresholds, and such networks drawn at random."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

ALMOST = float(np.nextafter(1, 0))
POOL = (0.25, 0.5, float(np.nextafter(0.5, 1)), 0.75, ALMOST, 1.0)  # few, so that there are ties; neighbours in float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Exits:
    """Confidences [S, N], which are right [S, N], MACs [S]."""

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    macs: list[int]


def draw_exits(seed: int, stages: int, images: int) -> Exits:
    """Later exits are better, easy images easy at all of them, and confidences what they say."""
    generator = np.random.default_rng(seed)
    ease = generator.normal(0, 2, images)
    score = ease + np.arange(2, 2 + stages)[:, np.newaxis] * 0.8 + generator.normal(0, 1, (stages, images))
    confidence = 0.1 + 0.9 / (1 + np.exp(-score))
    correct = generator.random((stages, images)) < confidence
    return Exits(confidence=confidence, correct=correct, macs=[100 * 3**i + i for i in range(stages)])


@st.composite
def small_exits(draw: st.DrawFn, stages: tuple[int, int] = (1, 4)) -> Exits:
    """Up to 8 images; ties, confidences of exactly 1, MACs of 0."""
    count = draw(st.integers(*stages))
    images = draw(st.integers(1, 8 if count < 4 else 5))
    one = st.sampled_from(POOL) | st.floats(0.1, 1)
    rows = st.lists(one, min_size=images, max_size=images)
    flags = st.lists(st.booleans(), min_size=images, max_size=images)
    return Exits(
        confidence=np.array(draw(st.lists(rows, min_size=count, max_size=count))),
        correct=np.array(draw(st.lists(flags, min_size=count, max_size=count))),
        macs=draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)),
    )


def answer_slowly(exits: Exits, thresholds: Sequence[float]) -> tuple[int, tuple[int, ...], int]:
    """Right images, images that reach each exit, MACs of all."""
    stages, images = exits.confidence.shape
    correct, macs, reached = 0, 0, [0] * stages
    for image in range(images):
        for stage in range(stages):
            reached[stage] += 1
            macs += exits.macs[stage]
            if stage == stages - 1 or exits.confidence[stage, image] > thresholds[stage]:
                correct += bool(exits.correct[stage, image])
                break
    return correct, tuple(reached), macs


def every_threshold(exits: Exits) -> Iterable[tuple[float, ...]]:
    """All thresholds that differ in what they do: 0, and every confidence observed."""
    return product(*[[0.0, *sorted(set(row.tolist()))] for row in exits.confidence[:-1]])


def unbeaten(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Right images and MACs that no other pair beats, the cheapest first."""
    every = set(pairs)
    return sorted(
        (
            one
            for one in every
            if not any(other != one and other[0] >= one[0] and other[1] <= one[1] for other in every)
        ),
        key=lambda pair: pair[1],
    )


def frontier_slowly(exits: Exits) -> list[tuple[int, int]]:
    """By all thresholds."""
    every = (answer_slowly(exits, thresholds) for thresholds in every_threshold(exits))
    return unbeaten((correct, macs) for correct, _, macs in every)
