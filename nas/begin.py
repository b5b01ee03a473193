"""Entering a search into the store, or finding that one of its name is the same."""

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.metadata import version

from filelock import FileLock, Timeout

from nas.plan import Plan
from nas.problem import Candidate
from nas.spec import Spec, parse_spec
from search_spaces import NasError
from trials.data import Dataset, channel_statistics
from trials.folders import is_remote
from trials.store import Store, StoredSearch


class SearchError(NasError):
    """A search that cannot begin or go on."""


def lock_search(store: Store, name: str) -> AbstractContextManager[object]:
    """Held while a search runs and freed by the kernel when its process ends, however it ends.

    Where the weights lie on no disk there is nothing to lock.
    """
    if is_remote(store.checkpoints):
        return nullcontext()
    lock = FileLock(store.checkpoints / f"{name}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout as error:
        raise SearchError(
            f"a search must be run by one process, but another one runs {name!r} now; wait for it or stop it"
        ) from error


@contextmanager
def lock_searches(store: Store) -> Iterator[None]:
    """Held while no search of a database may run; raises SearchError where one does."""
    with ExitStack() as locks:
        if not is_remote(store.checkpoints) and os.access(store.checkpoints, os.W_OK):  # else none can run from here
            for name in store.search_names():
                locks.enter_context(lock_search(store, name))
        yield


def begin_search(plan: Plan, store: Store, dataset: Dataset) -> list[Candidate]:
    """Enter the search, or check that the one of this name is the same; the networks that it began with."""
    spec = plan.problem.spec
    earlier = store.find_search(spec.name)
    if earlier is not None:
        _check_same(spec, earlier, dataset)
    means, stds = channel_statistics(dataset)
    new = StoredSearch(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        networks=[network.to_stored() for network in plan.networks],
        job_ids=_job_ids(plan, plan.networks, dataset),
        data={
            "fingerprint": dataset.fingerprint,
            "split_fingerprint": dataset.split_fingerprint,
            "sizes": {name: len(indices) for name, indices in dataset.splits.items()},
            "mean": means,
            "std": stds,
            "precision": plan.problem.precision,
        },
        versions={name: version(name) for name in ("nas-service", "torch", "optuna", "ray")}
        | {"python": platform.python_version()},
    )
    directions = ["maximize" if objective == "accuracy" else "minimize" for objective in spec.objectives]
    names = ["validation accuracy" if objective == "accuracy" else objective for objective in spec.objectives]
    begun = store.begin(new, directions, names)
    networks = [Candidate.from_stored(stored) for stored in begun.networks]
    if _job_ids(plan, networks, dataset) != begun.job_ids:
        raise SearchError(
            f"search {spec.name!r} must go on with the version of this project that began it, but the installed one "
            "trains otherwise, or base.weights have changed; give this search another name"
        )
    return networks


def _job_ids(plan: Plan, networks: list[Candidate], dataset: Dataset) -> list[str]:
    return [job.id for network in networks for job in plan.problem.jobs(network, dataset.id)]


def _check_same(spec: Spec, earlier: StoredSearch, dataset: Dataset) -> None:
    changed = _first_difference(parse_spec(earlier.spec, origin="the stored spec").meaning(), spec.meaning())
    if changed:
        raise SearchError(
            f"search {spec.name!r} must keep its spec, but {changed} differs from when it began; "
            "give this one another name"
        )
    fingerprints = earlier.data["fingerprint"], earlier.data["split_fingerprint"]
    if fingerprints != (dataset.fingerprint, dataset.split_fingerprint):
        raise SearchError(
            f"search {spec.name!r} must keep its images, but those of {spec.data.source} have changed since it began; "
            "give this one another name"
        )


def _first_difference(earlier: object, now: object, place: str = "") -> str:
    """Dotted name of the first key whose values differ, or nothing."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        inner = (_first_difference(earlier.get(key), now.get(key), f"{place}.{key}") for key in {**earlier, **now})
        return next((difference for difference in inner if difference), "")
    return "" if earlier == now else place.removeprefix(".")
