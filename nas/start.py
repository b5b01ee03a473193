"""What of a search begins first: Ray and its workers, while the driver loads what it needs itself."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from nas.spec import Spec
from trials.migrate import search_is_finished
from trials.placement import Placement
from trials.ray_workers import Workers, start_workers


@contextmanager
def early_workers(spec: Spec) -> Iterator[Callable[[], Workers] | None]:
    """The workers of a search, being started from now on; None where it is complete already.

    Raises WorkersError, and StoreError for a database that is none of ours.
    """
    if search_is_finished(spec.storage, spec.name):
        yield None
        return
    with workers_of(spec) as workers:
        yield workers


def workers_of(spec: Spec) -> AbstractContextManager[Callable[[], Workers]]:
    """As many workers as the spec asks for, where it asks for them."""
    return start_workers(placement_of(spec))


def placement_of(spec: Spec) -> Placement:
    """Where the jobs of a search run; raises SpecError for an address of the environment that is none."""
    return Placement(
        address=spec.ray.place,
        count=spec.ray.max_concurrent,
        device=spec.search.device,
        cpus=spec.ray.cpus_per_job,
        gpus=spec.ray.gpus_per_job if spec.search.device == "cuda" else 0.0,
        limits=spec.search.limits,
    )
