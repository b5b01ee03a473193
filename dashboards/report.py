"""Everything that a report of a search says, as data."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.figures import Picture, figures_of
from dashboards.front import Front, read_front
from dashboards.layers import LayerRow, layer_rows
from dashboards.picks import Pick, make_picks
from dashboards.points import bounds_of
from dashboards.scored import ScoredNetwork
from dashboards.study import StudyRow, make_study_rows
from search_spaces import Architecture
from trials.records import StoredSearch
from trials.source_facts import public_name
from trials.store import Store


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A network of the winner's, layer by layer: `stage` counts from 1 where it has several, and is 0 otherwise."""

    id: str
    stage: int
    input: tuple[int, int, int]
    rows: tuple[LayerRow, ...]

    @property
    def params(self) -> int:
        """Of all layers."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Of all layers, where all of it runs."""
        return sum(row.macs for row in self.rows)

    @property
    def lanes(self) -> int:
        """How many ways pass by at once, at most."""
        return max((lane + 1 for row in self.rows for lane in row.begin + row.pass_by + row.end), default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "stage": self.stage,
            "input": list(self.input),
            "layers": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """A search with its networks, picks, figures, the winner's layers, and what it takes to repeat it.

    `spec` is the stored one without what tells of a machine: no path, no storage.
    """

    search: StoredSearch
    front: Front
    picks: tuple[Pick, ...]
    pictures: tuple[Picture, ...]
    drawings: tuple[Drawing, ...]
    study: tuple[StudyRow, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """What `nas search` takes again, once `data.source` names the images where they are."""
        return public_spec(self.search.spec)

    @property
    def bounds(self) -> dict[str, float]:
        """The budget in numbers."""
        return bounds_of(self.front)

    @property
    def training_seconds(self) -> float:
        """Of all trainings of networks that have all their seeds, one after the other."""
        return sum(one.seconds * len(one.job_ids) for one in self.front.networks if not one.stages)

    @property
    def commands(self) -> tuple[str, ...]:
        """What repeats the search from its spec, and takes the winner away."""
        name = shlex.quote(self.search.name)
        spec = shlex.quote(f"{self.search.name}.yaml")
        export = () if self.front.study else (f"nas export {name} -o winner.json", "nas verify winner.json --score")
        return (f"nas search {spec}", *export, f"nas report {name} -o report.html")

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas report --format json`: that of `nas front --json`, and what the report adds to it."""
        return {
            **self.front.to_json(),
            "networks": [network.to_json() for network in self.front.networks],
            "budget": self.bounds,
            "picks": [pick.to_json() for pick in self.picks],
            "study": [row.to_json() for row in self.study],
            "figures": [{"id": one.id, "title": one.title, "caption": one.caption} for one in self.pictures],
            "winner_layers": [drawing.to_json() for drawing in self.drawings],
            "spec": self.spec,
            "versions": self.search.versions,
            "commands": list(self.commands),
        }


def read_report(store: Store, name: str) -> Report:
    """The report of a search as far as it has come; raises StoreError for an unknown name."""
    search, front = store.search(name), read_front(store, name)
    return Report(
        search=search,
        front=front,
        picks=tuple(make_picks(front)),
        pictures=tuple(figures_of(store, front)),
        drawings=_drawings(store, front.winner),
        study=tuple(make_study_rows(front.study)),
    )


def public_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A stored spec without paths and without the database, which are of one machine."""
    data = {name: value for name, value in spec["data"].items() if name != "root"}
    kept = {name: value for name, value in spec.items() if name not in ("storage", "checkpoints")}
    return kept | {"data": data | {"source": public_name(data["source"])}}


def _drawings(store: Store, winner: ScoredNetwork | None) -> tuple[Drawing, ...]:
    """Of a dynamic winner one for each network that it consists of."""
    if winner is None:
        return ()
    job_id = next(iter(winner.final_job_ids.values()))
    trained = store.route(job_id).scores if winner.stages else (job_id,)
    return tuple(
        _drawing(store.job(id_).architecture, stage if winner.stages else 0)
        for stage, id_ in enumerate(trained, start=1)
    )


def _drawing(architecture: Architecture, stage: int) -> Drawing:
    rows = tuple(layer_rows(architecture))
    return Drawing(id=architecture.id, stage=stage, input=architecture.input, rows=rows)
