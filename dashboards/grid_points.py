"""The networks of a study of resolution, and the tables that they make.

Sandler et al. 2019: table 4 and, as tables, figures 2 and 3.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dashboards.front import Front
from dashboards.scored import ScoredNetwork
from search_spaces import COSTS
from search_spaces.feeding import WAYS

_FAMILIES = ("isometric", "feeding", "dilated", "parallel", "multipliers", "compound")
_EARLIER: Mapping[str, str] = {  # first words of methods in stores that do not name the method of the spec
    **dict.fromkeys(map(str, WAYS), "feeding"),
    **dict.fromkeys(("width", "depth"), "multipliers"),
    **dict.fromkeys(("parallel-batch-first", "parallel-depth-first"), "parallel"),
}
OF_FOLDED = "px of the image; of space-to-depth, of the folded image"


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A trained network, with its accuracy on test, or on validation while it has none there.

    `choice` is what its methods chose in it: of isometric networks depth, multiplier, internal_resolution. `family` is
    the first one's name in the spec, `fresh` says whether its seeds are fresh ones, `mark` is put behind accuracies on
    validation among others on test.
    """

    method: str
    family: str
    resolution: int
    choice: Mapping[str, float]
    costs: Mapping[str, float]
    mean: float
    std: float | None
    seeds: int
    split: str
    fresh: bool = False
    mark: str = ""

    @property
    def is_base(self) -> bool:
        """Whether all others were made of it."""
        return self.method == "base"

    @property
    def way(self) -> str:
        """How it is fed, of what feeding finds, first or not: by another name only what is as "resolution" makes it."""
        word = self.method.partition(" ")[0]
        return word if word in WAYS else "resolution"

    @property
    def kind(self) -> str:
        """What networks are told apart by in a picture: ways of feeding, otherwise methods."""
        return self.way if self.family == "feeding" else self.family

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
    note: str = ""


def grid_points(front: Front) -> list[GridPoint]:
    """The trained networks of a search that such a study is about, and its base; empty without any of them."""
    found = [_point(network) for network in front.networks]
    own = [point for point in found if point.family in _FAMILIES or (point.is_isometric and not point.is_base)]
    base = [point for point in found if point.is_base]
    if not own and not any(point.is_isometric for point in base):
        return []
    points = [*base, *own]
    mixed = len({point.split for point in points}) > 1
    return [replace(point, mark="*") if mixed and point.split != "test" else point for point in points]


def said_scores(points: Sequence[GridPoint]) -> str:
    """What the accuracies are: of which split, and of how many seeds, fresh or not."""
    splits = {point.split for point in points}
    said = f"{min(splits)} accuracy in %"  # test, unless all are on validation
    said += ", * on validation" if len(splits) > 1 else ""
    counts = Counter((not point.fresh, point.seeds) for point in points)
    parts = [(_seeds(seeds, fresh=not usual), count) for (usual, seeds), count in sorted(counts.items())]
    if len(parts) == 1:
        return f"{said}; {parts[0][0]}"
    whose = [f"of {count}" for _, count in parts]
    if len({usual for usual, _ in counts}) == len(parts):  # some fresh, the others not
        whose = [f"of base and front ({parts[0][1]})", f"of the others ({parts[1][1]})"]
    return f"{said}; " + ", ".join(f"{what} {who}" for (what, _), who in zip(parts, whose, strict=True))


def _seeds(count: int, *, fresh: bool) -> str:
    return f"{count} {'fresh ' if fresh else ''}{'seed' if count == 1 else 'seeds'}"


def _point(network: ScoredNetwork) -> GridPoint:
    score = network.test or network.validation
    word = network.family or network.method.partition(" ")[0]
    family = "multipliers" if word == "resolution" and "factor" not in network.choice else _EARLIER.get(word, word)
    return GridPoint(
        method=network.method,
        family=family,
        resolution=network.resolution,
        choice=network.choice,
        costs={name: network.costs[name] for name in COSTS},
        mean=score.mean,
        std=score.std,
        seeds=len(score.by_seed),
        split="test" if network.test else "validation",
        fresh=network.confirmed is not None and score.by_seed.keys() == network.confirmed.by_seed.keys(),
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

    Of space-to-depth that is the folded image, of all others the image (`OF_FOLDED`). The base is "resolution" at its
    own.
    """
    found: dict[int, dict[tuple[str, int], GridPoint]] = {}
    for point in points:
        if "factor" in point.choice:
            nominal = int(point.choice["nominal_resolution"])
            found.setdefault(nominal, {})[point.way, nominal // int(point.choice["factor"])] = point
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
                note=OF_FOLDED,
            )
        )
    return tables


def multiplied_points(points: Sequence[GridPoint]) -> dict[tuple[float, float, int], GridPoint]:
    """The base scaled by plain multipliers, and itself: by factors of width and depth, and resolution in pixels."""
    found = {}
    for point in points:
        choice = point.choice
        if point.is_base:  # also where a factor so near to 1 that nothing changes has found it
            found[1.0, 1.0, point.resolution] = point
        elif "width_multiplier" in choice or ("factor" in choice and point.way == "resolution"):
            factors = choice.get("width_multiplier", 1.0), choice.get("depth_multiplier", 1.0)
            found.setdefault((*factors, point.resolution), point)
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
    spread = "" if point.std is None else f"{plus_minus}{100 * point.std:.1f}"
    return f"{100 * point.mean:.1f}{spread}{point.mark}"
