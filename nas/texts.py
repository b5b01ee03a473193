"""Text files that people hand over: read up to a length, parsed with bounds, in one line refused."""

import json
import unicodedata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent, ScalarEvent

from search_spaces import NasError
from trials.files import reasons
from trials.urls import hide_passwords

MOST_YAML = 2**17  # bytes; a spec that names the widths of all layers of ResNet152 has 2,000
MOST_JSON = 2**25  # bytes; DenseNet201 has 150,000
MOST_VALUES = 20_000  # of a YAML file, each alias counted with all that it stands for
MOST_DEPTH = 50  # of what stands in each other; a spec has 5


class TextError(NasError):
    """A file that cannot be read as what it should be."""


def read_text(path: Path, what: str, most: int) -> str:
    """The text of a file; raises TextError where it cannot be read, is longer than `most` bytes, or is no UTF-8."""
    try:
        with reasons(path), path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return content.decode("utf-8-sig")
        reason = f"it has more than {most:,} bytes"
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except ValueError:  # a name with NUL, or with half a surrogate pair
        reason = "there is no such name"
    raise TextError(f"{what}, but {path}: {reason}")


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds; raises TextError for anything else."""
    text = read_text(path, what, MOST_JSON)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{what}, but {path}: it is not JSON") from error


def parse_yaml(text: str, origin: str) -> Any:
    """What a YAML 1.2 text holds: plain values alone, as no tag can name a Python object.

    Raises TextError for a text that is no YAML, or is much larger than it looks.
    """
    try:
        _check_size(text, origin)
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # ruamel raises some of these itself, on broken dates and numbers with tags
        raise TextError(f"{origin} must be YAML, but: {_first(error)}") from error


def _first(error: Exception) -> str:
    """What is wrong and where; not the line itself, which may hold a password."""
    if not isinstance(error, MarkedYAMLError):
        return hide_passwords(" ".join(str(error).split()))[:300] or type(error).__name__
    mark = error.problem_mark or error.context_mark
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{hide_passwords(' '.join(said.split()))[:250]}{place}"


def _check_size(text: str, origin: str) -> None:
    """Raises TextError where depth or expanded size are beyond bounds; nothing is built meanwhile."""
    opened: list[tuple[str | None, int]] = [(None, 0)]  # anchors of the open collections, and sizes so far
    anchors: dict[str, int] = {}  # sizes of what is whole
    named: set[str] = set()
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.anchor:
            if event.anchor in named:
                raise TextError(f"{origin}: anchor &{event.anchor} must stand once, but stands twice")
            named.add(event.anchor)
        if isinstance(event, CollectionStartEvent):
            opened.append((event.anchor, 1))
            if len(opened) > MOST_DEPTH:
                raise TextError(f"{origin} must nest at most {MOST_DEPTH} deep, but goes deeper")
        elif isinstance(event, NodeEvent | CollectionEndEvent):
            anchor, size = _closed(event, opened, anchors, origin)
            if anchor:
                anchors[anchor] = size
            outer, before = opened.pop()
            opened.append((outer, before + size))
            if before + size > MOST_VALUES:
                raise TextError(
                    f"{origin} must hold at most {MOST_VALUES:,} values, aliases counted with what they stand for"
                )


def _closed(
    event: NodeEvent | CollectionEndEvent, opened: list[tuple[str | None, int]], anchors: dict[str, int], origin: str
) -> tuple[str | None, int]:
    """Anchor and size of a value that is whole by this event."""
    if isinstance(event, CollectionEndEvent):
        return opened.pop()
    if not isinstance(event, AliasEvent):
        return event.anchor, 1
    if event.anchor not in anchors:
        raise TextError(f"{origin}: alias *{event.anchor} must follow what it stands for, but does not")
    return None, anchors[event.anchor]


def check_letters(data: Any, origin: str) -> None:
    """Raises TextError where a text of plain data has letters that no name has: NUL, line ends, half a surrogate."""
    values, seen = [data], 0
    while values:
        value = values.pop()
        seen += 1
        if seen > MOST_VALUES:  # or it holds itself
            raise TextError(f"{origin} must hold at most {MOST_VALUES:,} values")
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, str) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
            raise TextError(
                f"{origin}: texts must be of one line without control characters, but one is {value[:40]!r}"
            )
