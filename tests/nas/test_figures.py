"""Pictures with names that somebody chose to do harm."""

import json
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest

from nas.figures import write_figure
from search_spaces import NasError

HOSTILE = '</script><script>alert(1)</script><a href="javascript:alert(1)">x</a>&lt;b&gt;'


def test_names_are_shown_and_not_run(tmp_path: Path) -> None:
    figure = go.Figure()
    figure.add_scatter(x=[HOSTILE, "b"], y=[1, 2], name=HOSTILE, text=[HOSTILE, "1 < 2 & 3"])
    figure.update_layout(title=HOSTILE)
    write_figure(figure, tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert HOSTILE not in page
    found = re.search(r'"name":("(?:[^"\\]|\\.)*"),"text":(\[.*?\])', page)
    assert found is not None
    drawn = '&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;a href="javascript:alert(1)"&gt;x&lt;/a&gt;'
    assert json.loads(found[1]) == f"{drawn}&amp;lt;b&amp;gt;"
    assert json.loads(found[2])[1] == "1 &lt; 2 &amp; 3"
    assert figure.layout.title.text == HOSTILE, "the figure itself is left alone"


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"--draw must name an \.html file, but is x\.png"):
        write_figure(go.Figure(), Path("x.png"))
