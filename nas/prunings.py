"""The prunings of a running search: what they have made known, what is wanted next."""

from collections.abc import Callable, Mapping, Sequence

from nas.problem import Candidate, Problem
from nas.proposal import Proposal, propose
from trials.prune_job import PruneJob, PruneResult
from trials.store import Store


class Prunings:
    """Proposes anew whenever a record comes, and keeps in the search's row what came of it.

    `say` is told every line once: what an iteration found, why a method ends.
    """

    def __init__(self, problem: Problem, images_id: str, store: Store, say: Callable[[str], None]) -> None:
        self._problem, self._images_id, self._store, self._say = problem, images_id, store, say
        self._records: dict[str, PruneResult] = {}
        self._proposal = Proposal()
        self._said: set[str] = set()

    @property
    def wanted(self) -> list[PruneJob]:
        """Prunings that may run now and have no record."""
        return self._proposal.jobs

    @property
    def names(self) -> str:
        """Who wants them."""
        return " and ".join(self._proposal.prunings)

    def look_up(self, jobs: Sequence[PruneJob]) -> bool:
        """Whether the store holds the record of one of these by now."""
        return bool(jobs) and bool(self._store.prunings(job.id for job in jobs))

    def update(self, failed: Mapping[str, str]) -> tuple[Candidate, ...]:
        """All networks that are known, from the records in the store; `failed` are prunings given up, and why."""
        while True:
            self._proposal = propose(self._problem, self._images_id, self._records, failed)
            new = self._store.prunings(job.id for job in self.wanted)
            if not new:
                break
            self._records |= new
        for line in self._proposal.lines:
            self.say_once(line)
        return self._proposal.candidates

    def say_once(self, line: str) -> None:
        """Say a line that was not said before."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def keep(self, name: str, networks: Sequence[Candidate], job_ids: Sequence[str]) -> None:
        """Write new networks, their jobs, and the descents into the search's row."""
        descents = self._proposal.descents
        if networks or (descents and self._store.search(name).data.get("descents") != descents):
            stored = [network.to_stored() for network in networks]
            self._store.extend(name, stored, list(job_ids), {"descents": descents})
