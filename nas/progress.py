"""Where a search stands, as the search tells those who show it."""

from dataclasses import dataclass

from nas.problem import Candidate


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search stands: training jobs done of all, the best complete network, the base, seconds left."""

    done: int
    total: int
    best: tuple[Candidate, float] | None
    base_accuracy: float | None
    seconds_left: float | None
