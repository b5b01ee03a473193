"""Which figures a search has: one list, for optuna-dashboard and for the report."""

from collections.abc import Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards.cost_figure import cost_figure, cost_title
from dashboards.descent import descent_figure, read_descent_data
from dashboards.dynamic import dynamic_figure
from dashboards.dynamic_points import read_dynamic, read_seeds
from dashboards.front import Front
from dashboards.grid import grid_figure
from dashboards.grid_points import grid_points, said_scores
from dashboards.hypervolume import hypervolume_figure, read_course, reference_point, said_reference
from dashboards.look import plain_text
from dashboards.points import Point, bounds_of, make_points
from dashboards.resolution import originals_figure, resolution_figure, study_figure, study_originals
from dashboards.study import make_study_rows
from search_spaces import COSTS, LATENCY, Architecture, NasError
from trials.store import Store
from trials.times import seconds_to_results

WIDE = {"study": 520, "originals": 900, "widths": 720, "grid": 1200, "dynamic": 720}  # px of height in optuna-dashboard


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure under an id that stays, which is a valid id of HTML, too, with its title and how to read it."""

    id: str
    title: str
    caption: str
    figure: go.Figure

    @property
    def is_wide(self) -> bool:
        """Whether it wants the whole width of a page: it has several panels, or many names."""
        return self.id in WIDE or self.id == "hypervolume"

    def to_json(self) -> str:
        """Plotly's JSON without a title; texts that look like HTML are shown as they are."""
        figure = go.Figure(plain_text(self.figure.to_dict()))
        return str(figure.update_layout(title=None, margin={"t": 48 if self.is_wide else 20}).to_json())

    def for_dashboard(self) -> str:
        """The same with its title, of the size of the box that it is put in."""
        figure = go.Figure(plain_text(self.figure.to_dict()))
        figure.update_layout(title={"text": self.title, "font": {"size": 16}}, height=None, margin={"t": 72})
        return str(figure.to_json())


def figures_of(store: Store, front: Front) -> list[Picture]:
    """What can be drawn of a search as far as it has come; raises StoreError where the database fails."""
    points = make_points(front)
    if not points:
        return list(_descent(store, front))
    return [
        *(_study(front) if front.study else _costs(front, points)),
        *_resolution(front, points),
        *_descent(store, front),
        *_grid(front),
        *_dynamic(store, front),
        *([] if front.study else _hypervolume(store, front)),
    ]


def _costs(front: Front, points: list[Point]) -> Iterator[Picture]:
    bounds = bounds_of(front)
    for cost in (*COSTS, LATENCY):
        if any(cost in point.costs for point in points):
            yield Picture(
                id=f"front-{cost.replace('_', '-')}",
                title=cost_title(cost),
                caption="Networks trained in full: means over seeds, bars are sample standard deviations. Fresh seeds "
                "where a network has them. Outlined: on the front of all objectives. The step line joins what no "
                "other network beats in these two.",
                figure=cost_figure(points, cost, bounds.get(cost)),
            )


def _study(front: Front) -> Iterator[Picture]:
    rows = make_study_rows(front.study)
    if rows:
        yield Picture(
            id="study",
            title="Resolution against accuracy, by approach",
            caption="Borji's figure 3. Means over originals, each the mean over seeds; bars are standard deviations "
            "over originals. The paper shows the solution that is best on test, which is luck in part; the fair one "
            "is chosen on validation.",
            figure=study_figure(rows),
        )
        yield Picture(
            id="originals",
            title="Each original and its solutions",
            caption="Borji's figure 4. Bars are standard deviations over seeds.",
            figure=originals_figure(study_originals(front.study)),
        )


def _resolution(front: Front, points: list[Point]) -> Iterator[Picture]:
    if not front.study and len({point.resolution for point in points if point.feasible}) > 1:
        yield Picture(
            id="resolution",
            title="Resolution against accuracy, by approach",
            caption="Networks that keep the budget: means and sample standard deviations over seeds. Lines join the "
            "best of each approach; its other choices differ, too.",
            figure=resolution_figure(points),
        )


def _descent(store: Store, front: Front) -> Iterator[Picture]:
    if front.data.get("descents", {}).get("neuralscale", {}).get("iterations"):
        yield Picture(
            id="widths",
            title="Widths by iteration, and their power laws",
            caption="NeuralScale's figures 3 and 2. Left the widths at the base's cost, right what the last pruning "
            "recorded and the law that was fitted to it.",
            figure=descent_figure(read_descent_data(store, front.name)),
        )


def _grid(front: Front) -> Iterator[Picture]:
    points = grid_points(front)
    if points:
        yield Picture(
            id="grid",
            title="Input against internal resolution; what widths and resolutions are worth",
            caption="Sandler et al., table 4 and figures 2, 3 and 9, as far as the search has networks for them: "
            f"{said_scores(points)}.",
            figure=grid_figure(points, front.name),
        )


def _dynamic(store: Store, front: Front) -> Iterator[Picture]:
    found = read_dynamic(store, front)
    if not found:
        return
    try:
        seeds = {one.network.id: read_seeds(store, one.network) for one in found}
    except NasError:  # kept scores are lost: `nas dynamic` says which; all other figures can be drawn
        return
    yield Picture(
        id="dynamic",
        title="Accuracy against expected MACs, and which exit answers",
        caption="MSNet's figure 5. Curves: thresholds moved over their range, means over seeds; diamonds: the points "
        "that were chosen on validation; stars: networks all of which runs for every image. Right the shares of the "
        "images that each exit answers.",
        figure=dynamic_figure(found, seeds, front),
    )


def _hypervolume(store: Store, front: Front) -> Iterator[Picture]:
    classes = Architecture.from_json(store.search(front.name).networks[0]["architecture"]).output[-1]
    reference = reference_point(front, classes)
    if reference is None:
        return
    job_ids = [job_id for network in front.networks for job_id in network.job_ids.values()]
    course = read_course(front, reference, seconds_to_results(store, front.name, job_ids))
    if course is not None:
        yield Picture(
            id="hypervolume",
            title="Hypervolume of the front, over trainings and over time",
            caption=f"Share of the box from {said_reference(reference)} to accuracy 1 at no cost that the networks "
            "known by then dominate, by the accuracies that they were found with. Time goes on while a search stands "
            "still.",
            figure=hypervolume_figure(course),
        )
