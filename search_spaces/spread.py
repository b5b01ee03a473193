"""A few points that cover many: which of thousands of solutions to train."""

import numpy as np
from numpy.typing import NDArray


def choose_spread(points: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Indices of `count` of the points [T, F] that lie far apart, in the order chosen.

    Farthest-point sampling: from a random start, always the point whose nearest chosen one is farthest, after
    each feature is scaled to [0, 1]; ties fall by the seed. All of them where there are no more than `count`.
    """
    if len(points) <= count:
        return list(range(len(points)))
    order = np.random.default_rng(seed).permutation(len(points))
    span = np.maximum(points.max(axis=0) - points.min(axis=0), 1)
    scaled = ((points - points.min(axis=0)) / span)[order]
    chosen = [0]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
        distance[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(distance)))
    return [int(order[i]) for i in chosen]
