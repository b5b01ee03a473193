"""Putting a search into the queue: it is checked here and now, and run by a worker."""

from dataclasses import dataclass, replace

from nas.base import base_network
from nas.begin import check_same_spec
from nas.hold import entry_for
from nas.planning import make_plan
from nas.spec import Spec
from trials.queue import Queue
from trials.queue_entry import Entry
from trials.source_facts import describe_source


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A search in the queue; `new` where it was not there before."""

    entry: Entry
    new: bool


def check_plan(spec: Spec, *, allow_code: bool) -> None:
    """Raises NasError for a spec that cannot be planned.

    Networks whose latency decides are planned where they run, as it is measured there: here images and base alone.
    """
    if spec.measures_latency:
        base_network(spec.base, describe_source(spec.data), allow_code=allow_code)
    else:
        make_plan(spec, allow_code=allow_code)


def submit(spec: Spec, *, folder: str, allow_code: bool = False, priority: int | None = None) -> Submitted:
    """Queue a search; one that is there already takes the priority, the folder, and what may change of its spec.

    `folder` is where relative paths of the spec are looked up. Raises SearchError where the name is that of another
    search, and what the plan raises; nothing is written then.
    """
    check_plan(spec, allow_code=allow_code)
    with Queue(spec.storage, create=True) as queue:
        entry = entry_for(spec, folder=folder, priority=priority or 0)
        while True:
            known = next((one for one in queue.entries() if one.name == spec.name), None)
            check_same_spec(spec, known)
            if known is not None and known.number:
                changed = replace(
                    known,
                    spec=entry.spec,
                    priority=known.priority if priority is None else priority,
                    folder=folder,
                    needs_code=entry.needs_code,
                )
                queue.change(changed)
                return Submitted(entry=changed, new=False)
            finished = known is not None and known.state == "finished"  # begun before there was a queue
            if queue.enter(replace(entry, state="finished" if finished else "queued")):
                return Submitted(entry=queue.find(spec.name) or entry, new=not finished)
