"""A few points that stand for many: which of thousands of solutions to train."""

import numpy as np
from numpy.typing import NDArray


def choose_spread(points: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Indices of `count` of the points [T, F], spread over the features; all where there are no more.

    The points are put in order by their features, the first one foremost, and cut into `count` equal strata; one
    of each is drawn. (Farthest-point sampling picks the corners of the space instead: the largest strides and the
    smallest kernels, which skip most of an image.)
    """
    if len(points) <= count:
        return list(range(len(points)))
    generator = np.random.default_rng(seed)
    order = np.lexsort((generator.random(len(points)), *points.T[::-1]))
    return [int(generator.choice(stratum)) for stratum in np.array_split(order, count)]
