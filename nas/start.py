"""What of a search begins first: Ray and its workers, while the driver loads what it needs itself."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from nas.spec import Spec
from trials.migrate import search_is_finished
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
    return start_workers(spec.search.workers, device=spec.search.device, gpu_share=spec.search.gpu_share)
