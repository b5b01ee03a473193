"""The picture of a search's dynamic networks: accuracy against expected MACs as thresholds move, shares of the exits.

MSNet's figure 5 and the cascade report's figures 2.6 and 2.7, beside the networks all of which runs for every image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.dynamic_points import DynamicNetwork, SeedScores, answered, mean_curve
from dashboards.front import Front
from dashboards.scored import ScoredNetwork


def dynamic_figure(
    dynamic: Sequence[DynamicNetwork], seeds: Mapping[str, Sequence[SeedScores]], front: Front
) -> go.Figure:
    """Accuracy against expected MACs on validation, the same on test of what was scored there, and shares of the exits.

    `seeds` are the kept scores of each dynamic network, by its id. Curves are means over them; networks that differ in
    their bound alone have one.
    """
    splits, titles, widths = [False], ["on validation", "who answers"], [0.7, 0.3]
    if any(one.network.test for one in dynamic):
        splits, titles, widths = (
            [False, True],
            [titles[0], "on test, of what was scored there", titles[1]],
            [0.38, 0.38, 0.24],
        )
    figure = make_subplots(
        rows=1, cols=len(titles), column_widths=widths, subplot_titles=titles, horizontal_spacing=0.06
    )
    ids = list(dict.fromkeys(one.network.stages for one in dynamic))
    colours = sample_colorscale("Turbo", [0.05 + 0.9 * i / max(1, len(ids) - 1) for i in range(len(ids))])
    for stages, colour in zip(ids, colours, strict=True):
        own = [one for one in dynamic if one.network.stages == stages]
        for column, tested in enumerate(splits, 1):
            _add_curve(figure, own, seeds, colour, (column, tested))
    for column, tested in enumerate(splits, 1):
        _add_singles(figure, [one for one in front.networks if not one.stages], (column, tested))
        figure.update_xaxes(title_text="expected MACs", type="log", row=1, col=column)
    figure.update_yaxes(title_text="accuracy in %", row=1, col=1)
    _add_shares(figure, dynamic, len(titles))
    figure.update_layout(
        template="plotly_white",
        title=front.name,
        height=760,
        barmode="stack",
        margin={"r": 210},  # names of networks stand there
        legend={"orientation": "h", "y": -0.15},
    )
    return figure


def _add_curve(
    figure: go.Figure,
    own: Sequence[DynamicNetwork],
    seeds: Mapping[str, Sequence[SeedScores]],
    colour: str,
    place: tuple[int, bool],
) -> None:
    """The curve of networks that are the same but for their bound, and what was chosen for each of these."""
    column, tested = place
    shown = [one for one in own if one.network.test or not tested]
    if not shown:
        return
    # sides alone do not tell cascades apart
    name = f"{own[0].network.method.partition(' at ')[0]}, {own[0].network.costs['params'] / 1e6:.3g} M params"
    common: dict[str, Any] = {"legendgroup": name, "row": 1, "col": column}
    curve = mean_curve(seeds[shown[0].network.id], tested=tested)
    line = {"color": colour, "width": 2}
    figure.add_scatter(
        x=curve.macs, y=100 * curve.accuracy, name=name, showlegend=not tested, line=line, mode="lines", **common
    )
    points = [_chosen(one, tested=tested) for one in shown]
    figure.add_scatter(
        x=[macs for macs, _, _ in points],
        y=[100 * mean for _, mean, _ in points],
        error_y={"array": [100 * std for _, _, std in points], "thickness": 1},
        text=[one.network.method for one in shown],
        name=f"{name}, chosen",
        showlegend=False,
        marker={"color": colour, "size": 11, "symbol": "diamond"},
        mode="markers",
        **common,
    )


def _chosen(one: DynamicNetwork, *, tested: bool) -> tuple[float, float, float]:
    """Expected MACs, mean accuracy, its standard deviation."""
    score = one.network.test if tested and one.network.test else one.network.final
    macs = [point.expected_macs(tested=tested) for point in one.points]
    return float(np.mean(macs)), score.mean, score.std or 0.0


def _add_singles(figure: go.Figure, networks: Sequence[ScoredNetwork], place: tuple[int, bool]) -> None:
    column, tested = place
    scored = [(one, one.test if tested else one.final) for one in networks]
    shown = [(one, score) for one, score in scored if score is not None]
    figure.add_scatter(
        x=[one.costs["macs"] for one, _ in shown],
        y=[100 * score.mean for _, score in shown],
        error_y={"array": [100 * (score.std or 0.0) for _, score in shown], "thickness": 1},
        text=[f"{one.method}, {one.resolution} px" for one, _ in shown],
        name="all of it for every image",
        legendgroup="single",
        showlegend=not tested,
        marker={"color": "grey", "symbol": "star", "size": 9},
        mode="markers",
        row=1,
        col=column,
    )


def _add_shares(figure: go.Figure, dynamic: Sequence[DynamicNetwork], column: int) -> None:
    shares = [np.mean([answered(point.validation, point.images) for point in one.points], axis=0) for one in dynamic]
    names = [one.network.method for one in dynamic]
    most = max(map(len, shares))
    for exit_, colour in enumerate(sample_colorscale("Blues", np.linspace(0.25, 0.95, most).tolist())):
        figure.add_bar(
            x=[100 * float(own[exit_]) if exit_ < len(own) else 0 for own in shares],
            y=names,
            orientation="h",
            name=f"exit {exit_ + 1}",
            legendgroup="exits",
            marker={"color": colour},
            row=1,
            col=column,
        )
    figure.update_xaxes(title_text="images in %", range=[0, 100], row=1, col=column)
    figure.update_yaxes(autorange="reversed", side="right", row=1, col=column)
