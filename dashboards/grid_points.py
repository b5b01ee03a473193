"""The networks of a study of resolution, and the tables that they make.

Sandler et al. 2019: table 4 and, as tables, figures 2 and 3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dashboards.front import Front, ScoredNetwork
from search_spaces import COSTS
from search_spaces.feeding import WAYS

_FAMILIES = (
    *WAYS,
    "isometric",
    "width",
    "depth",
    "dilated",
    "parallel-batch-first",
    "parallel-depth-first",
    "compound",
)


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A trained network, with its accuracy on test, or on validation while it has none there.

    `choice` is what its method chose in it: of isometric networks depth, multiplier, internal_resolution.
    """

    method: str
    resolution: int
    choice: Mapping[str, float]
    costs: Mapping[str, float]
    mean: float
    std: float | None
    seeds: int
    split: str

    @property
    def family(self) -> str:
        """The method without its numbers."""
        return self.method.partition(" ")[0]

    @property
    def is_isometric(self) -> bool:
        """Also of a base that is one of the grid's points."""
        return {"depth", "multiplier", "internal_resolution"} <= set(self.choice)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"costs": dict(self.costs), "choice": dict(self.choice)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Accuracies by two numbers: a title, what the rows are, and a cell for each row and column, or None."""

    title: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[GridPoint | None, ...], ...]


def grid_points(front: Front) -> list[GridPoint]:
    """The trained networks of a search that such a study is about, and its base; empty without any of them."""
    found = [_point(network) for network in front.networks]
    own = [point for point in found if point.family in _FAMILIES or point.is_isometric]
    base = [point for point in found if point.method == "base" and not point.is_isometric]
    return [*base, *own] if own else []


def _point(network: ScoredNetwork) -> GridPoint:
    score = network.test or network.validation
    return GridPoint(
        method=network.method,
        resolution=network.resolution,
        choice=network.choice,
        costs={name: network.costs[name] for name in COSTS},
        mean=score.mean,
        std=score.std,
        seeds=len(score.by_seed),
        split="test" if network.test else "validation",
    )


def grid_tables(points: Sequence[GridPoint]) -> list[Table]:
    """Of isometric networks one for each depth and multiplier, the fullest first; then ways to feed, multipliers.

    Those of a single network are left out.
    """
    tables = [*isometric_tables(points), *way_tables(points), *multiplier_tables(points)]
    return [table for table in tables if _filled(table) > 1]


def isometric_tables(points: Sequence[GridPoint]) -> list[Table]:
    """Input against internal resolution (table 4)."""
    own = [point for point in points if point.is_isometric]
    tables = [
        _table(
            f"isometric, depth {depth}, multiplier {multiplier:g}",
            "internal",
            [p for p in own if (p.choice["depth"], p.choice["multiplier"]) == (depth, multiplier)],
            lambda point: point.choice["internal_resolution"],
            lambda point: point.resolution,
            ("{} px".format, "{} px input".format),
        )
        for depth, multiplier in sorted({(p.choice["depth"], p.choice["multiplier"]) for p in own})
    ]
    return sorted(tables, key=_filled, reverse=True)


def _filled(table: Table) -> int:
    return sum(cell is not None for row in table.cells for cell in row)


def fed_points(points: Sequence[GridPoint]) -> dict[int, dict[tuple[str, int], GridPoint]]:
    """By the resolution that a network is made for: its ways to be fed, at each resolution of what reaches it.

    Of space-to-depth that is the folded image, of all others the image. The base is "resolution" at its own.
    """
    found: dict[int, dict[tuple[str, int], GridPoint]] = {}
    for point in points:
        if "factor" in point.choice:
            nominal = int(point.choice["nominal_resolution"])
            found.setdefault(nominal, {})[point.family, nominal // int(point.choice["factor"])] = point
    plain = multiplied_points(points) if found else {}
    for (width, depth, side), point in plain.items():
        for nominal, ways in found.items():
            if width == depth == 1 and side <= nominal:
                ways.setdefault(("resolution", side), point)
    return found


def way_tables(points: Sequence[GridPoint]) -> list[Table]:
    """Ways to feed an image against its resolution (figure 2)."""
    tables = []
    for nominal, ways in sorted(fed_points(points).items()):
        names, sides = {way for way, _ in ways}, sorted({side for _, side in ways})
        rows = tuple(way for way in WAYS if way in names)
        tables.append(
            Table(
                title=f"fed in other ways, made for {nominal} px",
                corner="way",
                rows=rows,
                columns=tuple(f"{side} px" for side in sides),
                cells=tuple(tuple(ways.get((way, side)) for side in sides) for way in rows),
            )
        )
    return tables


def multiplied_points(points: Sequence[GridPoint]) -> dict[tuple[float, float, int], GridPoint]:
    """The base scaled by plain multipliers, and itself: by factors of width and depth, and resolution in pixels."""
    found = {}
    for point in points:
        choice = point.choice
        plain = point.method == "base" or "width_multiplier" in choice or point.family == "resolution"
        if plain and not point.is_isometric:
            factors = choice.get("width_multiplier", 1.0), choice.get("depth_multiplier", 1.0)
            found[*factors, point.resolution] = point
    return found


def multiplier_tables(points: Sequence[GridPoint]) -> list[Table]:
    """Width against resolution (figure 3), one table for each depth."""
    if not any("width_multiplier" in point.choice for point in points):
        return []
    by_factors = multiplied_points(points)
    places = {id(point): factors for factors, point in by_factors.items()}
    return [
        _table(
            f"multipliers, depth x{depth:g}",
            "width",
            [point for factors, point in by_factors.items() if factors[1] == depth],
            lambda point: places[id(point)][0],
            lambda point: point.resolution,
            ("x{:g}".format, "{} px".format),
        )
        for depth in sorted({depth for _, depth, _ in by_factors}, reverse=True)
    ]


def _table(
    title: str,
    corner: str,
    points: Sequence[GridPoint],
    row_of: Callable[[GridPoint], float],
    column_of: Callable[[GridPoint], float],
    texts: tuple[Callable[[float], str], Callable[[float], str]],
) -> Table:
    places = {(row_of(point), column_of(point)): point for point in points}
    rows, columns = (sorted({place[axis] for place in places}) for axis in (0, 1))
    return Table(
        title=title,
        corner=corner,
        rows=tuple(map(texts[0], rows)),
        columns=tuple(map(texts[1], columns)),
        cells=tuple(tuple(places.get((row, column)) for column in columns) for row in rows),
    )


def cell_text(point: GridPoint | None, plus_minus: str) -> str:
    """An accuracy in percent with its spread."""
    if point is None:
        return ""
    return f"{100 * point.mean:.1f}" + ("" if point.std is None else f"{plus_minus}{100 * point.std:.1f}")
