"""Which jobs a worker gets at once."""

from collections import deque
from typing import cast

from search_spaces import count_cost
from trials.job import AnyJob, Job
from trials.prune_job import PruneJob

PACK_SECONDS = 2.0  # of training that one worker gets at once, where jobs are short
LONG_MACS = 4e12  # forward passes alone; some five minutes on a core, where fusing has nothing left to gain


def take_pack(queue: deque[AnyJob], seconds_an_epoch: float | None, workers: int, images: int) -> tuple[AnyJob, ...]:
    """Jobs of the first network, and of as many more as are expected to be done in PACK_SECONDS.

    At most half of a worker's share of the networks that wait, so that none runs dry while another has a long pack;
    where fewer networks wait than there are workers, the seeds of one are shared out. A pruning goes alone, and so does
    a training on so many images that takes minutes: its result is known, and kept, as soon as it is there.
    """
    first = queue[0]
    if isinstance(first, PruneJob) or count_cost(first.architecture).macs * images * first.epochs > LONG_MACS:
        return (queue.popleft(),)
    return _take_trainings(cast("deque[Job]", queue), seconds_an_epoch, workers)  # prunings stand in front of them


def _take_trainings(queue: deque[Job], seconds_an_epoch: float | None, workers: int) -> tuple[Job, ...]:
    waiting = len({job.architecture.id for job in queue})
    more = waiting // (2 * workers) - 1
    pack = _take_network(queue)
    if waiting < workers:
        share = -(-(len(pack) + len(queue)) // workers)
        queue.extendleft(reversed(pack[share:]))
        return pack[:share]
    while queue and more > 0 and seconds_an_epoch is not None:
        if sum(job.epochs for job in (*pack, queue[0])) * seconds_an_epoch > PACK_SECONDS:
            break
        pack += _take_network(queue)
        more -= 1
    return pack


def _take_network(queue: deque[Job]) -> tuple[Job, ...]:
    """The jobs at the queue's head that are of one network, trained in one way."""
    first = queue.popleft()
    jobs = [first]
    while queue and _kind(queue[0]) == _kind(first):
        jobs.append(queue.popleft())
    return tuple(jobs)


def _kind(job: Job) -> tuple[object, ...]:
    return job.kind, job.architecture, job.until, job.recipe, job.origin is None
