"""What the site needs beside Markdown: equations as MathML, and the files of the project that pages link to.

Equations stand in pages as the forge renders them: $`inline`$, and blocks fenced as ```math. They become MathML when
the site is built, which browsers draw by themselves.
"""

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
INLINE = r"\$`([^`]+)`\$"
LINK = re.compile(r"(?<=\]\()\.\./([\w./-]+)")  # to a file of the project that is none of the documents


def to_mathml(tex: str, *, block: bool = False) -> str:
    """MathML of an equation; raises ValueError for TeX that is none."""
    if tex.count("{") != tex.count("}"):  # the converter closes what is left open
        raise ValueError(f"an equation must close its braces, but {tex!r} does not")
    try:
        made = convert(tex, display="block" if block else "inline")
        fromstring(made)
    except Exception as error:
        raise ValueError(f"an equation must be TeX, but {tex!r} is not: {error!r}") from error
    made = made.replace("<mi>ln</mi>", '<mi>ln</mi><mspace width="0.17em"/>')  # TeX's space behind a function's name
    if "\\" in re.sub(r"<[^>]+>", "", made):
        raise ValueError(f"an equation must hold known commands alone, but {tex!r} holds others: {made}")
    return made


class InlineMath(InlineProcessor):
    """$`...`$ in a line."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]  # noqa: N802
        """The equation, put aside as what is HTML already."""
        return self.md.htmlStash.store(to_mathml(m.group(1))), m.start(0), m.end(0)


class Math(Extension):
    """Equations in lines."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Before code in backticks, which has 190."""
        md.inlinePatterns.register(InlineMath(INLINE, md), "math", 195)


def format_math(source: str, *_: Any, **__: Any) -> str:
    """A block of equations."""
    return f'<div class="math">{to_mathml(source, block=True)}</div>'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Equations are known to Markdown."""
    fence = {"name": "math", "class": "math", "format": format_math}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    config.markdown_extensions.append(Math())  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files of the project that pages link to become part of the site, under project/."""
    wanted = {name for file in files.documentation_pages() for name in LINK.findall(file.content_string)}
    for name in sorted(wanted):
        path = ROOT / name
        if path.is_file():  # what is not there is a broken link, as mkdocs says
            files.append(File.generated(config, f"project/{name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the project lead to their copies; in tables a number stays with its spread."""
    lines = [line.replace(" ± ", "\u00a0±\u00a0") if line.startswith("|") else line for line in markdown.split("\n")]
    return LINK.sub(r"project/\1", "\n".join(lines))
