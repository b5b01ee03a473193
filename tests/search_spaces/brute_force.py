"""Borji's approaches by nested loops over all values and all widths: what the solver must find, no more and no less."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from search_spaces import Approach, Architecture, NetworkError, Ranges, Solutions, apply_solution, count_cost
from search_spaces.compensation import COUNTS
from search_spaces.ops import Conv, channels_of
from search_spaces.windows import Windows

Row = tuple[int, ...]


def rows_of(found: Solutions) -> set[Row]:
    """The free values of all solutions; none stands twice."""
    rows = {tuple(found.row(i)[name] for name in found.free) for i in range(len(found))}
    assert len(rows) == len(found), "a network stands twice"
    return rows


def within(counts: Mapping[str, int], windows: Windows) -> bool:
    """Whether all counts keep their windows."""
    return all(low <= counts[name] <= high for name, (low, high) in windows.items())


def network_counts(network: Architecture) -> dict[str, int]:
    """The whole network's counts."""
    cost = count_cost(network)
    return {name: getattr(cost, name) for name in COUNTS}


def brute_force(
    base: Architecture,
    approach: Approach,
    edited: Sequence[str],
    *,
    resolutions: Iterable[int],
    ranges: Ranges,
    network: Windows | None = None,
    layer: Windows | None = None,
    widths: Iterable[int] = (),
) -> set[Row]:
    """Rows of II, III and IV. `edited` are the layers from the first conv to the last one that may change sides."""
    return {
        tuple(row.values())
        for row, built in networks(base, approach, edited, resolutions, ranges, widths)
        if within(network_counts(built), network or {})
        and within(equation_counts(base, built, approach, edited), layer or {})
    }


def networks(
    base: Architecture,
    approach: Approach,
    edited: Sequence[str],
    resolutions: Iterable[int],
    ranges: Ranges,
    widths: Iterable[int],
) -> Iterator[tuple[dict[str, int], Architecture]]:
    """All rows that keep what the rest of the network reads, whatever they cost, and their networks."""
    stem = base.node(edited[0]).op
    assert isinstance(stem, Conv)
    axes = dict(_axes(approach, stem, resolutions, ranges))
    for values in itertools.product(*axes.values()):
        row = dict(zip(axes, values, strict=True))
        if _built(base, approach, row | {"channels1": stem.out_channels}, edited) is None:  # sides know no widths
            continue
        for width in widths if approach != "II" else [stem.out_channels]:
            wider = row if approach == "II" else row | {"channels1": width}
            built = _built(base, approach, wider, edited)
            if built is not None:
                yield wider, built


def _axes(
    approach: Approach, stem: Conv, resolutions: Iterable[int], ranges: Ranges
) -> Iterator[tuple[str, Iterable[int]]]:
    kernels, strides, paddings, dilations = (
        range(low, high + 1) for low, high in (ranges.kernel, ranges.stride, ranges.padding, ranges.dilation)
    )
    yield "resolution", resolutions
    if approach != "II":
        yield "kernel1", [kernel for kernel in kernels if kernel > stem.kernel]  # type: ignore[operator]
    yield from (("stride1", strides), ("padding1", paddings))
    if approach == "II":
        yield "dilation1", dilations
    if approach == "III":
        yield from (("pool_kernel", kernels), ("pool_stride", strides), ("pool_padding", paddings))
    if approach == "IV":
        yield from (("kernel2", kernels), ("stride2", strides), ("padding2", paddings))


def _built(base: Architecture, approach: Approach, row: dict[str, int], edited: Sequence[str]) -> Architecture | None:
    """The network of a row, if it exists and all other layers read maps of the base's sides."""
    try:
        built = apply_solution(base, approach, row)
    except NetworkError:
        return None
    for node in base.nodes:
        if node.name not in edited:
            sources = built.source_shapes(built.node(node.name))
            if [shape[-2:] for shape in sources if len(shape) > 2] != [
                shape[-2:] for shape in base.source_shapes(node) if len(shape) > 2
            ]:
                return None
    return built


def equation_counts(base: Architecture, built: Architecture, approach: Approach, edited: Sequence[str]) -> Any:
    """Both sides of eq. 9, 14, 15 and 19 as the paper writes them: conv weights, and the pool's FLOPs."""
    names = (edited[0], f"{edited[0]}_pool") if approach == "III" and built is not base else edited[:1]
    if approach == "IV":
        names = (edited[0], edited[-1])
    counts = dict.fromkeys(COUNTS, 0)
    for name in names:
        node = built.node(name)
        (source,), out = built.source_shapes(node), built.shapes[name]
        if isinstance(node.op, Conv):
            weights = channels_of(source) * node.op.kernel**2 * channels_of(out)  # type: ignore[operator]
            counts["params"] += weights
            counts["macs"] += out[-1] ** 2 * weights
            counts["flops"] += out[-1] ** 2 * weights
        else:
            counts["flops"] += prod(source)  # M1'^2 K1' of eq. 14
        counts["activation_elements"] = max(counts["activation_elements"], prod(source) + prod(out))
    return counts
