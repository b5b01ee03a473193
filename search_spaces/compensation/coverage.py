"""The share of an image's columns and rows that each solution looks at, for all of them at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.compensation.apply import apply_solution
from search_spaces.compensation.places import conv_of
from search_spaces.compensation.quadratic import Column
from search_spaces.compensation.rows import sides_of
from search_spaces.compensation.site import Site, find_site
from search_spaces.compensation.solutions import Solutions
from search_spaces.coverage import HEIGHT, WIDTH, Mask, count_coverage, read_masks, windows_read
from search_spaces.ops import Depthwise, Pool, pair

CHUNK = 16_384  # rows at a time: 10 MB of masks at 224 px
_DEPEND = ("kernel", "stride", "padding", "dilation")  # no width changes what is read


def count_coverages(base: Architecture, solutions: Solutions) -> NDArray[np.float64]:
    """Shares [T], as `count_coverage` has them of each network."""
    names = [name for name in solutions.free if name == "resolution" or any(part in name for part in _DEPEND)]
    if not len(solutions):
        return np.empty(0)
    rows, first, inverse = np.unique(
        np.stack([solutions.columns[name] for name in names], axis=1), axis=0, return_index=True, return_inverse=True
    )
    if solutions.approach == "I":
        shares = [
            count_coverage(apply_solution(base, solutions.approach, solutions.row(int(index)))) for index in first
        ]
        return np.array(shares)[inverse.ravel()]
    site = find_site(base, solutions.approach)
    columns = dict(zip(names, rows.T, strict=True))
    parts = [
        {name: column[start : start + CHUNK] for name, column in columns.items()}
        for start in range(0, len(rows), CHUNK)
    ]
    found = np.concatenate([_shares(site, part) for part in parts])
    return np.asarray(found[inverse.ravel()])


def _shares(site: Site, columns: dict[str, Column]) -> NDArray[np.float64]:
    counts = np.min([_mask(site, columns, axis).sum(axis=1) for axis in (HEIGHT, WIDTH)], axis=0)
    return np.asarray(counts / columns["resolution"])


def _mask(site: Site, columns: dict[str, Column], axis: int) -> Mask:
    """Pixels along an axis [T, largest resolution] that reach the output."""
    length = len(columns["resolution"])
    stem = conv_of(site.stem)
    values = {"kernel1": np.full(length, stem.kernel), "dilation1": np.ones(length, np.int64), **columns}
    values |= sides_of(site, values)
    last = site.stem if site.second is None else site.second.node
    edited = {last.name} if site.second else set()
    below = read_masks(site.base, axis, ignore=edited)  # of what stays as it is
    mask = np.broadcast_to(below[last.name], (length, len(below[last.name])))
    if site.approach == "III":
        mask = _behind(mask, values["side1"], values, "pool_kernel", "pool_stride", "pool_padding")
    if site.second is not None:
        mask = _behind(mask, values["before2"], values, "kernel2", "stride2", "padding2")
        mask = _between(site, mask, values, below, axis)
    return _behind(mask, values["resolution"], values, "kernel1", "stride1", "padding1", "dilation1")


def _behind(mask: Mask, sides: Column, values: dict[str, Column], *names: str) -> Mask:
    kernel, stride, padding = (values[name] for name in names[:3])
    dilation = values[names[3]] if len(names) > 3 else np.ones_like(kernel)
    return windows_read(mask, sides, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


def _between(site: Site, mask: Mask, values: dict[str, Column], below: Mapping[str, Mask], axis: int) -> Mask:
    """From the map that conv2 reads back to the one that conv1 writes."""
    assert site.second is not None
    names = ["side1", *(f"between{i}" for i in range(len(site.second.between)))]
    maps = [site.stem, *site.second.between]
    for place in range(len(maps) - 1, -1, -1):
        if place in site.second.kept:  # others read this map at the base's side
            mask = mask | below[maps[place].name]
        if place == 0:
            break
        op = maps[place].op
        if isinstance(op, Pool | Depthwise):
            ones = np.ones(len(mask), np.int64)
            dilation = 1 if isinstance(op, Pool) else pair(op.dilation)[axis]
            kernel, stride, padding = (pair(size)[axis] * ones for size in (op.kernel, op.stride, op.padding))
            mask = windows_read(
                mask, values[names[place - 1]], kernel=kernel, stride=stride, padding=padding, dilation=dilation * ones
            )
    return mask
