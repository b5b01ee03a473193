"""How our pictures look: colours that people with any colour vision tell apart, thin grids, words before ids."""

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito, "Color universal design", 2008, without yellow, which white paper swallows
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#80BA5A")
GREY, INK = "#8A8A8A", "#222222"
SYMBOLS = {"base": "star", "baseline": "square", "candidate": "circle"}
GRID = "rgba(128,128,128,0.22)"
COST_NAMES = {
    "params": "parameters",
    "macs": "multiply-adds (MACs)",
    "macs_worst": "multiply-adds at worst",
    "activation_elements": "activation memory (elements)",
    "latency_ms": "latency in ms",
    "latency_worst_ms": "latency at worst in ms",
}


def colour_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, in the order of the names; after eight they begin again."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def finish(figure: go.Figure, *, height: int = 460) -> go.Figure:
    """The common look; the title stands outside of the picture."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "showline": True, "ticks": "outside"}
    figure.update_xaxes(**axis, automargin=True)
    figure.update_yaxes(**axis, automargin=True)
    figure.update_layout(
        template=go.layout.Template(),
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 64, "r": 16, "t": 20, "b": 56},
        legend={"orientation": "h", "y": -92 / (height - 76), "yanchor": "top", "x": 0},
        hovermode="closest",
        height=height,
    )
    return figure


def cost_axis(values: Sequence[float], name: str) -> dict[str, Any]:
    """An axis of a cost: logarithmic where values differ by more than five times; ticks as 200k, 5M."""
    positive = [value for value in values if value > 0]
    axis: dict[str, Any] = {"title_text": COST_NAMES.get(name, name)}
    if not positive or max(positive) <= 5 * min(positive):
        return axis | {"type": "linear", "tickformat": "~s" if max(positive, default=0) >= 1000 else ""}
    low, high = floor(log10(min(positive))), ceil(log10(max(positive)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [float(step * 10**power) for power in range(low, high + 1) for step in steps]
    return axis | {"type": "log", "tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}


def _short(number: float) -> str:
    """200k, 5M, 0.5."""
    factor, letter = next((pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= pair[0]), (1.0, ""))
    return f"{number / factor:g}{letter}"


def plain_text(part: Any) -> Any:
    """Plotly reads links, sizes and the like in texts as HTML; ours have none, so what looks so is a name."""
    if isinstance(part, dict):
        return {key: plain_text(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [plain_text(value) for value in part]
    return escape(part, quote=False) if isinstance(part, str) else part
