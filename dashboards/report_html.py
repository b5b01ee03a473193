"""A report as one file of HTML that opens without a network. What is filled in is escaped by the template engine."""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboards.figures import Picture
from dashboards.layers import LayerRow, said_shape
from dashboards.look import COST_NAMES
from dashboards.report import Report
from dashboards.report_facts import facts_of, said_gain, said_percent, summary_of
from search_spaces import LATENCY

LANE, ROW = 12, 26  # px between two ways beside each other, and of a row's height


def report_html(report: Report, spec_text: str) -> str:
    """The whole page; `spec_text` is the spec as a file that can be submitted again."""
    return _template().render(
        report=report,
        front=report.front,
        networks=sorted(report.front.networks, key=lambda network: network.method != "base"),
        summary=summary_of(report),
        facts=facts_of(report),
        spec_text=spec_text,
        own_images=report.spec["data"]["source"] != report.search.spec["data"]["source"],
        on_front={network.id for network in report.front.front},
        timed=any(LATENCY in network.costs for network in report.front.networks),
        fresh=any(network.confirmed for network in report.front.networks),
        lane=lane_svg,
        figures=_json(report.pictures),
        plotly=Markup(_packed_plotly() if report.pictures else ""),
        css=Markup(_read("report.css")),
        js=Markup(_read("report.js")),
    )


def _read(name: str) -> str:
    return (files("dashboards") / "templates" / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    engine = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    engine.filters |= {
        "count": lambda number: f"{number:,.0f}",
        "cost_name": lambda name: COST_NAMES.get(name, name),
        "percent": said_percent,
        "gain": said_gain,
        "shape": said_shape,
    }
    return engine.from_string(_read("report.html"))


@cache
def _packed_plotly() -> str:
    """plotly.js, 4.9 MB, as 2 MB of base64 that the page unpacks itself."""
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _json(pictures: Sequence[Picture]) -> Markup:
    """Without `<`, so that no text in it can end the script."""
    listed = [{"id": one.id, "figure": json.loads(one.to_json())} for one in pictures]
    return Markup(json.dumps(listed, separators=(",", ":")).replace("<", r"\u003c"))


def lane_svg(row: LayerRow, lanes: int, goes_on: bool) -> Markup:
    """A row's part of the drawing: the layer as a dot, the ways from the row above and to the next, others beside."""
    x, middle = LANE * lanes + 8, ROW // 2
    paths = [f"M{x} 0V{middle}"] if row.follows else []
    paths += [f"M{x} {middle}V{ROW}"] if goes_on else []
    for lane in row.pass_by:
        paths.append(f"M{_lane_x(lane, lanes)} 0V{ROW}")
    for lane in row.begin:
        paths.append(f"M{x} {middle}C{x} {ROW} {_lane_x(lane, lanes)} {middle} {_lane_x(lane, lanes)} {ROW}")
    for lane in row.end:
        paths.append(f"M{_lane_x(lane, lanes)} 0C{_lane_x(lane, lanes)} {middle} {x} 0 {x} {middle}")
    kind = ' class="answers"' if row.answers else ""
    return Markup(  # numbers alone
        f'<svg width="{x + 8}" height="{ROW}" aria-hidden="true"><path d="{"".join(paths)}"/>'
        f'<circle cx="{x}" cy="{middle}" r="4"{kind}/></svg>'
    )


def _lane_x(lane: int, lanes: int) -> int:
    return LANE * (lanes - 1 - lane) + 8
