"""Where a search stands, as the search tells those who show it."""

from dataclasses import dataclass
from typing import Literal

from nas.problem import Candidate

Stage = Literal["training", "racing", "confirming"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search stands: trainings (of a race: epochs) done of all, best network, base, seconds left.

    The best is of those with all their seeds. Confirming are trainings of base and front with fresh seeds.
    """

    stage: Stage
    done: int
    total: int
    best: tuple[Candidate, float] | None
    base_accuracy: float | None
    seconds_left: float | None
    pruning: str = ""  # what runs beside it, after which more networks are known
