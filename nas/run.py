"""Runs a search from its spec to its front."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from safetensors.torch import save

from dashboards import Front, read_front
from nas.plan import Plan
from nas.search import Search, lock_search
from nas.show import ProgressView
from nas.start_weights import start_weights
from trials.checkpoint import sha256
from trials.dataset import load_dataset
from trials.files import sweep_parts, write_atomically
from trials.loop import run_locally
from trials.ray_tune import run_on_ray
from trials.run import start_path
from trials.store import Store


def run_search(plan: Plan, *, local: bool, progress: Console, allow_code: bool = False) -> tuple[Front, int]:
    """Train what the store does not have yet, on Ray or in this process; the front, and the number of jobs to retry.

    On KeyboardInterrupt what is done is kept, and the same call goes on from there.
    """
    spec = plan.problem.spec
    with Store(spec.storage, create=True) as store, lock_search(store, spec.name):
        sweep_parts(store.checkpoints)
        dataset = load_dataset(spec.data)
        if dataset.unreadable:
            first = ", ".join(dataset.unreadable[:3])
            line = f"{len(dataset.unreadable)} images could not be read and are left out: {first}"
            progress.print(line, markup=False, soft_wrap=True)
        plan = _with_start_weights(plan, store.checkpoints, allow_code=allow_code)
        with ProgressView(progress) as view:
            search = Search(plan, store, dataset, view.update)
            if search.kept:
                progress.print(f"{search.kept} of {plan.trainings} trainings are in {store.path} already")
            search.report()
            if not search.finished():
                if local:
                    run_locally(search, dataset, store.checkpoints)
                else:
                    run_on_ray(search, dataset, store.checkpoints, workers=spec.search.workers)
        for job, failure in search.failures:
            line = f"failed: {job.kind}, seed {job.seed} at {job.architecture.resolution} px: {failure.message}"
            progress.print(line, markup=False, soft_wrap=True)
        store.set_finished(spec.name, search.complete)
        return read_front(store, spec.name), sum(not failure.settled for _, failure in search.failures)


def _with_start_weights(plan: Plan, folder: Path, *, allow_code: bool) -> Plan:
    """The plan with the hash of the weights that the base starts from, which lie in the folder then."""
    base = plan.problem.spec.base
    if base.weights is None:
        return plan
    content = save(start_weights(base, plan.base.architecture, allow_code=allow_code))
    write_atomically({start_path(folder, sha256(content)): content})
    return replace(plan, problem=replace(plan.problem, start_sha256=sha256(content)))
