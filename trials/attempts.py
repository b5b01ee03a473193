"""Jobs that lost their worker, or were over a limit, are tried again: alone, then with batches in parts."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trials.job import AnyJob, JobFailure, Outcome
from trials.loop import JobSource
from trials.memory_plan import halved
from trials.placement import Limits

# How a pack was lost: its worker died (killed, or by the kernel for want of memory), its node did, or it was ended
# because it ran too long or held too much memory.
Cause = Literal["died", "node", "time", "memory"]
DEATHS = 4  # of the workers of one job, until it fails; a run of the same search tries again
DIED = "the worker process died (out of memory, or killed)"


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Jobs for one worker, and the parts that batches are computed in beyond what recipes say."""

    jobs: tuple[AnyJob, ...]
    parts: int = 1


class Attempts:
    """A job source's packs and, before these, the jobs of packs that were lost.

    What was lost together is tried again one by one. One that is lost alone by a limit on memory goes on with half the
    batch at a time, then with a quarter, as far as `halved` goes; one whose worker died, from the second time on, as
    the first may be an accident. A node that died says nothing of the job. Nothing of this is kept: a search that is
    run again begins as before, and comes to the same.
    """

    def __init__(self, source: JobSource, limits: Limits) -> None:
        self._source, self._limits = source, limits
        self._again: deque[Pack] = deque()
        self._deaths: Counter[str] = Counter()
        self._moves: Counter[str] = Counter()

    def ask(self) -> Pack | None:
        """The next pack; None while running jobs must be awaited or when there are no more."""
        if self._again:
            return self._again.popleft()
        jobs = self._source.ask()
        return Pack(jobs=jobs) if jobs else None

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""
        return not self._again and self._source.finished()

    def tell(self, pack: Pack, outcomes: Sequence[Outcome]) -> None:
        """A pack's outcomes, as its worker gave them."""
        self._source.tell(list(zip(pack.jobs, outcomes, strict=True)))

    def lost(self, pack: Pack, cause: Cause) -> None:
        """A pack has no outcomes: try its jobs again, or tell that they failed."""
        if len(pack.jobs) > 1:
            self._source.retry(pack.jobs, self._why(cause))
            self._again.extend(Pack(jobs=(job,), parts=pack.parts) for job in pack.jobs)
            return
        (job,) = pack.jobs
        if cause == "node" and self._moves[job.id] < DEATHS:
            self._moves[job.id] += 1
            self._retry(pack, cause)
            return
        parts = halved(job, pack.parts)
        if cause == "time":
            self._fail(pack, self._why(cause), limited=True)
        elif cause == "memory" and parts is None:
            least = "" if pack.parts == 1 else f", also with its batches in {pack.parts} parts"
            self._fail(pack, f"{self._why(cause)}{least}", limited=True)
        elif cause == "memory" and parts is not None:
            self._retry(Pack(jobs=pack.jobs, parts=parts), cause)
        else:
            self._deaths[job.id] += 1
            if self._deaths[job.id] < DEATHS:
                accident = self._deaths[job.id] == 1
                parts = pack.parts if accident or parts is None else parts
                self._retry(Pack(jobs=pack.jobs, parts=parts), cause)
            else:
                self._fail(pack, f"{DIED}, {DEATHS} times", limited=False)

    def _retry(self, pack: Pack, cause: Cause) -> None:
        self._source.retry(pack.jobs, self._why(cause))
        self._again.append(pack)

    def _why(self, cause: Cause) -> str:
        if cause == "time":
            return f"the job must end within search.job_minutes {self._limits.minutes:g}, but ran longer"
        if cause == "memory":
            return f"the job must keep search.job_memory_gb {self._limits.memory_gb:g}, but held more"
        return DIED if cause == "died" else "the machine of its worker was lost"

    def _fail(self, pack: Pack, message: str, *, limited: bool) -> None:
        limits = str(self._limits) if limited else ""
        self.tell(pack, [JobFailure(message=message, settled=limited, limits=limits)])
