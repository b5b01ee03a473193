"""What NeuralScale's descent in a search found: iterations, records, laws; and the picture of it. G width groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from search_spaces.power_law import PowerLaw
from trials.prune_job import PruneRow
from trials.store import Store, StoreError

BASE_COLOUR = "#888888"


@dataclass(frozen=True, kw_only=True)
class IterationRow:
    """An iteration: the widths [G] of the network that was pruned, the record, its law, and the widths that follow."""

    number: int
    job_id: str
    begun: tuple[int, ...]
    rows: tuple[PruneRow, ...]
    law: PowerLaw
    unfitted: str
    widths: tuple[int, ...]
    tau: float
    change: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "iteration": self.number,
            "job_id": self.job_id,
            "begun": list(self.begun),
            "law": self.law.to_json(),
            "unfitted": self.unfitted,
            "widths": list(self.widths),
            "tau": self.tau,
            "extrapolated": self.law.extrapolates(self.tau),
            "change": self.change,
            "seconds": self.seconds,
            "record": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True)
class DescentData:
    """A descent: what tau counts, names of the groups [G], the iterations, why it ended (nothing while it goes on)."""

    search: str
    tau: str
    groups: tuple[str, ...]
    iterations: tuple[IterationRow, ...]
    ended: str

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas descent --json`."""
        return {
            "search": self.search,
            "tau": self.tau,
            "groups": list(self.groups),
            "iterations": [one.to_json() for one in self.iterations],
            "ended": self.ended,
        }


def read_descent_data(store: Store, name: str) -> DescentData:
    """The descent of a search; raises StoreError for a search without one."""
    kept = store.search(name).data.get("descents", {}).get("neuralscale")
    if kept is None:
        raise StoreError(
            f"search {name!r} must have neuralscale among methods to have a descent, but has none, or has not begun it"
        )
    records = store.prunings(one["job_id"] for one in kept["iterations"])
    try:
        return DescentData(
            search=name,
            tau=kept["tau"],
            groups=tuple(kept["groups"]),
            iterations=tuple(_row(one, records[one["job_id"]].rows) for one in kept["iterations"]),
            ended=kept["ended"],
        )
    except KeyError as missing:
        raise StoreError(
            f"the descent of {name!r} must state {missing}, but was kept by an early version that did not; "
            "search its spec again under another name"
        ) from missing


def _row(kept: Mapping[str, Any], rows: tuple[PruneRow, ...]) -> IterationRow:
    return IterationRow(
        number=kept["iteration"],
        job_id=kept["job_id"],
        begun=tuple(kept["begun"]),
        rows=rows,
        law=PowerLaw.from_json(kept["law"]),
        unfitted=kept["unfitted"],
        widths=tuple(kept["widths"]),
        tau=kept["tau"],
        change=kept["change"],
        seconds=kept["seconds"],
    )


def descent_figure(data: DescentData) -> go.Figure:
    """Left the widths of every layer at the base's cost, by iteration (the paper's figure 3); right the last record
    with its law (figure 2).
    """
    last = data.iterations[-1]
    cost = data.tau.replace("_", " ")
    figure = make_subplots(
        cols=2,
        subplot_titles=(
            f"widths at the base's {cost}, by iteration",
            f"record of iteration {last.number} and its law" if not last.unfitted else "no law could be fitted",
        ),
        horizontal_spacing=0.1,
    )
    shades = _shades(len(data.iterations))
    rows = [("base", data.iterations[0].begun, {"color": BASE_COLOUR, "dash": "dash"})]
    for one, colour in zip(data.iterations, shades, strict=True):
        rows.append((f"iteration {one.number}", one.widths, {"color": colour}))
    for name, widths, line in rows:
        figure.add_scatter(x=data.groups, y=widths, name=name, line=line, col=1, row=1)
    for i, (group, colour) in enumerate(zip(data.groups, _shades(len(data.groups), "Turbo"), strict=True)):
        tau = [getattr(row, data.tau) for row in last.rows]
        figure.add_scatter(
            x=tau,
            y=[row.widths[i] for row in last.rows],
            mode="markers",
            name=group,
            legendgroup=group,
            marker={"color": colour, "size": 4},
            col=2,
            row=1,
        )
        if not last.unfitted:
            ends = np.geomspace(min(tau), max(tau), 2)
            figure.add_scatter(
                x=ends,
                y=last.law.widths_at(ends)[:, i],
                mode="lines",
                legendgroup=group,
                showlegend=False,
                line={"color": colour},
                col=2,
                row=1,
            )
    figure.update_xaxes(tickangle=-60, automargin=True, col=1, row=1)
    figure.update_yaxes(title_text="channels", rangemode="tozero", col=1, row=1)
    figure.update_xaxes(title_text=cost, type="log", col=2, row=1)
    figure.update_yaxes(title_text="channels", type="log", col=2, row=1)
    height = max(520, 260 + 24 * (len(data.groups) + len(data.iterations)))  # of the legend, above all
    figure.update_layout(template="plotly_white", title=f"{data.search}: architecture descent", height=height)
    return figure


def _shades(count: int, scale: str = "Viridis") -> Sequence[str]:
    """So many colours of a scale, dark to light, without its palest tenth."""
    return list(sample_colorscale(scale, list(np.linspace(0.9, 0.05, count))))
