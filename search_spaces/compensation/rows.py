"""The values of conv1 and of the layer behind it, and which of them go together.

Legend: A rows of conv1, B rows of the layer behind, C classes of A, E classes of B: rows of one class cost the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search_spaces import formulas
from search_spaces.compensation.places import conv_of, side_after
from search_spaces.compensation.quadratic import Column
from search_spaces.compensation.site import Site
from search_spaces.compensation.solutions import Ranges, check_size, grid, span


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of conv1 and of the layer behind, their classes, and how many of each class there are."""

    first: Mapping[str, Column]  # [A], in the order of their classes
    starts: Column  # [C + 1] where each class begins in `first`
    classes: Mapping[str, Column]  # [C, 1], values on which costs depend
    second: Mapping[str, Column]  # [B], in the order of their classes
    second_classes: Mapping[str, Column]  # [1, E]
    outer: int  # E
    sides: Column  # [C] which of the sides before the layer behind
    fits: Column  # pairs (side, row of B) that go together, as rows of B in the order of sides, then B
    fit_starts: Column  # [sides * E + 1] where those of a side and a class of B begin

    @cached_property
    def pairs(self) -> Column:
        """Rows of A times rows of B that go together, for each pair of classes [C, E]."""
        fitting = np.diff(self.fit_starts).reshape(int(self.sides.max(initial=-1)) + 1, self.outer)
        return np.diff(self.starts)[:, None] * fitting[self.sides]

    @staticmethod
    def of(site: Site, resolutions: Sequence[int], ranges: Ranges) -> "Rows":
        """Enumerate."""
        _check_size(site, resolutions, ranges)
        first = _first_rows(site, resolutions, ranges)
        second, inner = _second_rows(site, ranges)
        first |= sides_of(site, first)
        exists = _exists(site, first)
        first = {name: column[exists] for name, column in first.items()}
        keys = ["resolution", "kernel1", "side1"]
        order, starts = _classes([first[name] for name in keys])
        first = {name: column[order] for name, column in first.items()}
        classes = {name: column[starts[:-1], None] for name, column in first.items()}
        sides, which = np.unique(classes["before2"], return_inverse=True)
        if site.approach == "II":
            fit = np.ones((len(sides), 1), bool)
        else:
            fit = _side_behind(site, sides[:, None], second) == site.target
        outer = fit.shape[1] // inner
        sizes = fit.reshape(len(sides), outer, inner).sum(axis=2)
        return Rows(
            first=first,
            starts=starts,
            classes=classes,
            second=second,
            second_classes={name: column[None, ::inner] for name, column in second.items()},
            outer=outer,
            sides=which.ravel(),
            fits=np.nonzero(fit)[1],
            fit_starts=np.concatenate([[0], np.cumsum(sizes.ravel())]),
        )


def _check_size(site: Site, resolutions: Sequence[int], ranges: Ranges) -> None:
    """Raises NetworkError where there are too many combinations, before they are made."""
    kernels, strides, paddings, dilations = (
        max(high - low + 1, 0) for low, high in (ranges.kernel, ranges.stride, ranges.padding, ranges.dilation)
    )
    if site.approach == "II":
        check_size(len(resolutions) * strides * paddings * dilations)
    else:
        larger = max(ranges.kernel[1] - max(ranges.kernel[0], conv_of(site.stem).kernel + 1) + 1, 0)  # type: ignore[operator]
        check_size(len(resolutions) * larger * kernels * (strides * paddings) ** 2)


def _first_rows(site: Site, resolutions: Sequence[int], ranges: Ranges) -> dict[str, Column]:
    """Columns [A] of conv1's values. C1' > C1 in III and IV (eq. 13, 18); II keeps the kernel and dilates it."""
    conv = conv_of(site.stem)
    kernels = np.array([conv.kernel]) if site.approach == "II" else span(ranges.kernel)
    dilations = span(ranges.dilation) if site.approach == "II" else np.array([1])
    if site.approach != "II":
        kernels = kernels[kernels > conv.kernel]
    axes = (np.asarray(resolutions, np.int64), kernels, span(ranges.stride), span(ranges.padding), dilations)
    return dict(zip(("resolution", "kernel1", "stride1", "padding1", "dilation1"), grid(*axes), strict=True))


def _second_rows(site: Site, ranges: Ranges) -> tuple[dict[str, Column], int]:
    """Columns [B] of the layer behind conv1, and how many rows in a row cost the same."""
    axes = grid(span(ranges.kernel), span(ranges.stride), span(ranges.padding))
    if site.approach == "IV":
        inner = len(span(ranges.stride)) * len(span(ranges.padding))
        return dict(zip(("kernel2", "stride2", "padding2"), axes, strict=True)), inner
    if site.approach == "III":
        buildable = np.full(len(axes[0]), ranges.any_pool_padding) | (2 * axes[2] <= axes[0])
        pools = [axis[buildable] for axis in axes]
        return dict(zip(("pool_kernel", "pool_stride", "pool_padding"), pools, strict=True)), max(len(pools[0]), 1)
    return {}, 1


def sides_of(site: Site, first: Mapping[str, Column]) -> dict[str, Column]:
    """Sides of conv1's map (eq. 4) and, in approach IV, of the maps up to the one that conv2 reads."""
    side = formulas.output_side(
        first["resolution"],
        kernel=first["kernel1"],
        stride=first["stride1"],
        padding=first["padding1"],
        dilation=first["dilation1"],
    )
    sides = {"side1": side}
    for i, node in enumerate(site.second.between if site.second else ()):
        side = np.where(side >= 1, side_after(node, side), 0)
        sides[f"between{i}"] = side
    return {**sides, "before2": side}


def _exists(site: Site, first: Mapping[str, Column]) -> Column:
    """Rows whose maps have pixels, and the base's sides where other layers read them, too."""
    fine = (first["side1"] >= 1) & (first["before2"] >= 1)
    if site.approach == "II":
        fine &= first["side1"] == site.target
    if site.second is not None:
        maps = [site.stem, *site.second.between]
        names = ["side1", *(f"between{i}" for i in range(len(site.second.between)))]
        for place in site.second.kept:
            fine &= first[names[place]] == site.base.shapes[maps[place].name][-1]
    return np.flatnonzero(fine)


def _side_behind(site: Site, side: Column, second: Mapping[str, Column]) -> Column:
    """Side after the layer behind conv1 (eq. 12, 17)."""
    names = (
        ("kernel2", "stride2", "padding2") if site.approach == "IV" else ("pool_kernel", "pool_stride", "pool_padding")
    )
    kernel, stride, padding = (second[name] for name in names)
    return np.asarray(formulas.output_side(side, kernel=kernel, stride=stride, padding=padding))


def _classes(keys: Sequence[Column]) -> tuple[Column, Column]:
    """An order that puts equal rows of the keys together, and where each of these classes begins in it."""
    code = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        code = code * (int(key.max(initial=0)) + 1) + key
    order = np.argsort(code, kind="stable")
    changes = np.flatnonzero(np.diff(code[order], prepend=-1))
    return order, np.append(changes, len(order))
