"""A solution as a network."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search_spaces.architecture import Architecture, Node
from search_spaces.compensation.average import apply_average
from search_spaces.compensation.places import conv_of, own_group
from search_spaces.compensation.site import find_site
from search_spaces.compensation.solutions import APPROACHES, Approach
from search_spaces.errors import NetworkError
from search_spaces.ops import Op, Pool
from search_spaces.widths import with_widths


def apply_solution(base: Architecture, approach: Approach, row: Mapping[str, int]) -> Architecture:
    """The network of one row of `Solutions`."""
    if approach == "I":
        return apply_average(base, row)
    site = find_site(base, approach)
    if site.group is not None:
        widths = list(site.groups.widths)
        widths[site.group] = row["channels1"]
        if site.second is not None and "filters2" in row:
            widths[own_group(base, site.second.node, site.groups, approach)] = row["filters2"]
        base = with_widths(base, widths, site.groups)
    ops: dict[str, Op] = {}
    for number, node in (("1", site.stem), *([("2", site.second.node)] if site.second else [])):
        names = {"kernel": f"kernel{number}", "stride": f"stride{number}", "padding": f"padding{number}"}
        names |= {"dilation": f"dilation{number}"}
        changed: dict[str, Any] = {field: row[name] for field, name in names.items() if name in row}
        ops[node.name] = replace(conv_of(base.node(node.name)), **changed)
    nodes = [replace(node, op=ops.get(node.name, node.op)) for node in base.nodes]
    if approach == "III":
        nodes = _with_pool(nodes, site.stem.name, row)
    side = row["resolution"]
    return Architecture(input=(base.input[0], side, side), nodes=tuple(nodes))  # a base with exits has no site


def _with_pool(nodes: list[Node], stem: str, row: Mapping[str, int]) -> list[Node]:
    """The nodes with a max pool behind the first conv."""
    names = {node.name for node in nodes}
    name = f"{stem}_pool"
    while name in names:
        name += "_"
    pool = Pool(function="max", kernel=row["pool_kernel"], stride=row["pool_stride"], padding=row["pool_padding"])
    nodes = [
        replace(node, inputs=tuple(name if source == stem else source for source in node.inputs)) for node in nodes
    ]
    place = next(i for i, node in enumerate(nodes) if node.name == stem)
    return [*nodes[: place + 1], Node(name=name, op=pool, inputs=(stem,)), *nodes[place + 1 :]]


def base_row(base: Architecture) -> dict[str, int]:
    """The base's own values under the names of a solution's row, as far as it has them."""
    for approach in reversed(APPROACHES[1:]):
        try:
            return find_site(base, approach).row()
        except NetworkError:
            continue
    return {}
