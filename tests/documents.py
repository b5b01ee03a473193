"""What the documents hold: fenced blocks, commands in them, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = "for example"  # title of a block whose output depends on the machine
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
_ENDS = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A command of a console block, and the lines shown below it."""

    command: str
    output: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    language: str
    title: str
    text: str

    def shown(self) -> list[Shown]:
        """The commands of a console block with their output."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip():
                found[-1][1].append(line)
        return [Shown(command=command, output=tuple(output)) for command, output in found]


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a document, in order."""
    return [Block(language=one[1], title=one[2] or "", text=one[3]) for one in _FENCE.finditer(path.read_text())]


def nas_commands(path: Path) -> Iterator[list[str]]:
    """The arguments of every nas in console and bash blocks."""
    for block in blocks(path):
        if block.language == "console":
            lines = [shown.command for shown in block.shown()]
        elif block.language in ("bash", "sh"):
            text = re.sub(r'"[^"]*\n[^"]*"', "''", block.text)  # a script in quotes
            lines = text.replace("\\\n", " ").splitlines()
        else:
            continue
        for line in lines:
            yield from arguments_of(line)


def arguments_of(line: str) -> Iterator[list[str]]:
    """What follows each nas of a line of shell, without its comment and what is set in front of it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[str] | None = None
    words = list(lexer)
    for place, word in enumerate([*words, ";"]):
        if word in _ENDS:
            if found is not None:
                yield found
            found = None
        elif found is not None:
            found.append(word)
        elif word == "nas" and all(before in _ENDS or "=" in before or before == "do" for before in words[:place][-1:]):
            found = []


def without_fences(text: str) -> str:
    """The text around the fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Target and anchor of every link that leads to no other host."""
    prose = re.sub(r"`[^`\n]*`", "", without_fences(path.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"https?://", target):
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as the forge makes them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
