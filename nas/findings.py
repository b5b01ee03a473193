"""What `nas doctor` finds: one thing that a search needs, whether it is there, and the way out where it is not."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from search_spaces import one_line

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """A line of the examination; `way_out` is of a warning or a problem."""

    name: str
    state: State
    text: str
    way_out: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back, each text in one line, without passwords."""
        return {key: one_line(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The finding; raises TypeError for other data."""
        return cls(**data)


def ok(name: str, text: str) -> Finding:
    """Something that is as it should be."""
    return Finding(name, "ok", text)


def warning(name: str, text: str, way_out: str) -> Finding:
    """Something with which a search runs, but not as it could."""
    return Finding(name, "warning", text, way_out)


def problem(name: str, text: str, way_out: str = "") -> Finding:
    """Something with which a search fails."""
    return Finding(name, "problem", text, way_out)


def refused(name: str, error: object) -> Finding:
    """An error of ours, which says the way out behind its last semicolon."""
    text, _, way_out = one_line(error).rpartition("; ")
    return problem(name, text or way_out, way_out if text else "")
