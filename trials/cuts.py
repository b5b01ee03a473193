"""Which cuts through the observed confidences give the most right images for their MACs, exactly.

Of the confidences at an exit only their order matters: a cut k sends on the images with the k lowest distinct values
and answers all others. S exits, N images, P points. A point is one cut for each exit but the last.

The number of images that go beyond exit s is a cumulative histogram over the cuts at exits 0 to s, and so is what
they gain or lose in right images. Right images and MACs of all combinations of cuts are therefore a few cumulative
sums over an array with one axis an exit.

Few cuts have to be looked at. An image gains by going on where it is wrong here and right at a later exit. Where none
of the images of a tie that goes on gains, it may as well be answered: as many or more are right, for no more MACs.
So the highest tie that goes on holds an image that gains, or nothing goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Box = tuple[tuple[int, int], ...]  # of every exit but the last, the first and one after the last cut, as positions
BOX = 2**17  # cells that are looked at together: 1 MiB each of right images and of MACs
MOST_CELLS = 2**28  # combinations of cuts at more than three exits that are all looked at: some 10 s
NOTHING = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Points that none beats, the cheapest first: right images [P], MACs of all images [P], cuts [P, S-1].

    `exact` says whether all combinations of cuts were looked at.
    """

    correct: Integers
    macs: Integers
    cuts: Integers
    exact: bool


def find_points(ranks: Integers, correct: Booleans, macs: Integers, most_cells: int = MOST_CELLS) -> Points:
    """Cuts at S exits, none of which is beaten: by more right images for no more MACs, or by as many for fewer.

    `ranks` [S, N] are those of the distinct confidences, from 0; `correct` [S, N]; `macs` [S] of going on to an exit.
    Exact for up to three exits, and for more where there are at most `most_cells` combinations of cuts. Else the points
    of all exits but the last are improved, one exit at a time but exactly along it, until no such step helps: no
    point is then worse than without the last exit, but cuts that only help together may be missed.
    """
    cells = _Cells.of(ranks, correct, macs)
    best = _Best(images=ranks.shape[1], exits=len(macs))
    exact = len(macs) <= 3 or prod(cells.shape) <= most_cells
    if exact:
        for box in cells.boxes():
            best.add(*cells.count(box), box)
    else:
        _improve(cells, best, find_points(ranks[:-1], correct[:-1], macs[:-1], most_cells).cuts)
    rows = best.rows()
    cuts = [cut[best.places[rows, i]] for i, cut in enumerate(cells.cuts)]
    return Points(
        correct=rows, macs=best.macs[rows], cuts=np.array(cuts, np.int64).reshape(-1, len(rows)).T, exact=exact
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cells:
    """All combinations of the cuts that have to be looked at, one axis an exit but the last.

    `places` [S-1, N] says at which position of its axis a cut begins to send the image on; there may be none.
    """

    cuts: tuple[Integers, ...]
    places: Integers
    gains: Integers  # [S-1, N]: right images more by going from one exit on to the next, -1 to 1
    macs: Integers
    first: int  # right images at the first exit

    @staticmethod
    def of(ranks: Integers, correct: Booleans, macs: Integers) -> "_Cells":
        later = np.logical_or.accumulate(correct[::-1])[::-1][1:]
        gaining = later & ~correct[:-1]
        cuts = tuple(np.append(0, np.unique(rank[gain]) + 1) for rank, gain in zip(ranks[:-1], gaining, strict=True))
        places = [np.searchsorted(cut, rank, side="right") for cut, rank in zip(cuts, ranks[:-1], strict=True)]
        return _Cells(
            cuts=cuts,
            places=np.array(places, np.int64).reshape(gaining.shape),
            gains=correct[1:].astype(np.int64) - correct[:-1],
            macs=macs,
            first=int(correct[0].sum()),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(cut) for cut in self.cuts)

    def boxes(self) -> Iterator[Box]:
        """All cells, in boxes of at most `BOX` that are as long as can be along the last axes."""
        ranges = []
        room = BOX
        for length in self.shape[::-1]:
            width = max(1, min(length, room))
            room //= width
            ranges.append([(low, min(low + width, length)) for low in range(0, length, width)])
        yield from product(*ranges[::-1])

    def count(self, box: Box) -> tuple[Integers, Integers]:
        """Right images and MACs of every cell of the box."""
        images = np.arange(self.places.shape[1])
        cell = np.zeros_like(images)
        correct, macs = np.array(self.first), np.array(len(images) * self.macs[0])
        shape: tuple[int, ...] = ()
        for i, (low, high) in enumerate(box):
            place = np.maximum(self.places[i, images] - low, 0)
            inside = place < high - low  # all others are answered here, whatever the cut
            images = images[inside]
            cell = cell[inside] * (high - low) + place[inside]
            shape = (*shape, high - low)
            beyond = _accumulate(np.bincount(cell, minlength=prod(shape)), shape)
            gained = _accumulate(np.bincount(cell, self.gains[i, images], prod(shape)).astype(np.int64), shape)
            correct, macs = correct[..., np.newaxis] + gained, macs[..., np.newaxis] + self.macs[i + 1] * beyond
        return correct, macs


class _Best:
    """The cheapest cell for every number of right images, 0 to N, the first of equals."""

    def __init__(self, *, images: int, exits: int) -> None:
        self.macs = np.full(images + 1, NOTHING)
        self.places = np.zeros((images + 1, exits - 1), np.int64)
        self.bound = self.macs.copy()  # the fewest MACs of as many right images or more

    def add(self, correct: Integers, macs: Integers, box: Box) -> None:
        """Take what is better among the cells of a box."""
        shape = correct.shape
        correct, macs = correct.ravel(), macs.ravel()
        better = np.flatnonzero(macs < self.bound[correct])
        if not better.size:
            return
        number, cost = correct[better], macs[better]
        np.minimum.at(self.macs, number, cost)
        chosen = np.flatnonzero(cost == self.macs[number])[::-1]  # what is assigned last stays: the first cell
        if shape:
            lows = [low for low, _ in box]
            self.places[number[chosen]] = np.stack(np.unravel_index(better[chosen], shape), axis=1) + lows
        self.bound = np.minimum.accumulate(self.macs[::-1])[::-1]

    def rows(self) -> Integers:
        """The numbers of right images that no cheaper cell attains, nor as cheap a one with more."""
        return np.flatnonzero(self.macs < np.append(self.bound[1:], NOTHING))


def _improve(cells: _Cells, best: _Best, cuts: Integers) -> None:
    """Search every line of cells, along one axis, through the points of cuts [P, S-2] and then through better ones."""
    known = [np.searchsorted(cells.cuts[i], cuts[:, i], side="right") - 1 for i in range(cuts.shape[1])]
    points = {(*point, 0) for point in zip(*(column.tolist() for column in known), strict=True)}
    seen: set[tuple[int, ...]] = set()
    while points:
        for point in sorted(points):
            for axis, length in enumerate(cells.shape):
                box = tuple((0, length) if i == axis else (at, at + 1) for i, at in enumerate(point))
                best.add(*cells.count(box), box)
        seen |= points
        points = {tuple(row) for row in best.places[best.rows()].tolist()} - seen


def _accumulate(histogram: Integers, shape: tuple[int, ...]) -> Integers:
    """Sums [shape] of all cells up to each, along every axis."""
    sums = histogram.reshape(shape)
    for axis in range(len(shape)):
        sums = sums.cumsum(axis=axis)
    return sums
