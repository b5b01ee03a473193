"""What `nas report` writes."""

import json
from pathlib import Path
from typing import Literal, TypeAlias

from dashboards.report import Report, read_report
from dashboards.report_facts import report_markdown
from dashboards.report_html import report_html
from nas.spec_text import write_spec_text
from search_spaces import NasError
from trials.files import write_atomically
from trials.store import Store

Format: TypeAlias = Literal["html", "md", "json"]
_FORMATS: dict[str, Format] = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}


def choose_format(output: Path | None, asked: str | None) -> Format:
    """What was asked for, or what the file's name says; raises NasError where neither does."""
    if asked is not None:
        if asked not in _FORMATS.values():
            raise NasError(f"--format must be html, md or json, but is {asked!r}")
        return _FORMATS[f".{asked}"]
    if output is None:
        return "md"
    if output.suffix not in _FORMATS:
        raise NasError(f"a report's file must end in .html, .md or .json, but is {output}; or name a --format")
    return _FORMATS[output.suffix]


def make_report_text(name: str, storage: str, form: Format) -> str:
    """A report as text; raises StoreError for an unknown search."""
    with Store(storage) as store:
        return render(read_report(store, name), form)


def render(report: Report, form: Format) -> str:
    """A report in one of its forms."""
    if form == "json":
        return json.dumps(report.to_json(), indent=2) + "\n"
    spec_text = write_spec_text(report.spec)
    return report_html(report, spec_text) if form == "html" else report_markdown(report, spec_text)


def write_report(text: str, output: Path, *, force: bool) -> None:
    """Write it whole or not at all; raises NasError for a file that exists."""
    if output.exists() and not force:
        raise NasError(f"a report must not replace {output}; name another file, or use --force")
    write_atomically({output: text.encode()})
