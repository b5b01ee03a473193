"""Runs a search from its spec to its front."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dashboards import Front, read_front
from nas.hold import Held, hold_by_hand
from nas.planning import Plan
from nas.progress import Progress, failure_line
from nas.search_loop import Search
from nas.show import ProgressView
from nas.spec_errors import SpecError
from nas.start import workers_of
from trials.dataset import load_dataset
from trials.files import sweep_parts, write_atomically
from trials.leases import fence
from trials.loop import run_locally
from trials.precision import choose_precision
from trials.queue import Queue
from trials.ray_start import check_gpus
from trials.ray_workers import Workers
from trials.store import Store
from trials.weights import sha256, start_path


class _Voice:
    """Says lines to who runs the search and, once it is held, to everybody."""

    def __init__(self, console: Console) -> None:
        self.held: Held | None = None
        self._console = console

    def print(self, line: str) -> None:
        """To who runs it alone."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """To `nas logs`, too."""
        self.print(line)
        if self.held:
            self.held.say(line)

    def say_fault(self, line: str) -> None:
        """To `nas status`, too."""
        self.print(line)
        if self.held:
            self.held.say_fault(line)


def run_search(
    plan: Plan,
    *,
    local: bool,
    progress: Console,
    allow_code: bool = False,
    workers: Callable[[], Workers] | None = None,
    holding: Held | None = None,
) -> tuple[Front, int]:
    """Train what the store does not have yet, on Ray or in this process; the front, and the number of jobs to retry.

    `workers` that are being started already are used; otherwise they are started where there is something to train.
    `holding` is of a process that holds the search already; otherwise it is held here, and SearchError is raised where
    another one has it.
    On KeyboardInterrupt what is done is kept, and the same call goes on from there.
    """
    spec = plan.problem.spec
    if local and spec.search.device == "cuda":
        check_gpus(1, spec.ray.gpus_per_job)

    voice = _Voice(progress)
    with (
        Store(spec.storage, create=True, checkpoints=spec.checkpoints, say=voice.say_fault) as store,
        Queue(spec.storage, create=True) as queue,
        nullcontext(holding) if holding else hold_by_hand(store, queue, spec, voice.print) as held,
    ):
        voice.held = held
        fence(store.engines, spec.name, held.lease.token)

        sweep_parts(store.checkpoints)
        dataset = load_dataset(spec.data)
        if dataset.unreadable:
            first = ", ".join(dataset.unreadable[:3])
            voice.say(f"{len(dataset.unreadable)} images could not be read and are left out: {first}")
        plan = _with_precision(_with_start_weights(plan, store.checkpoints, allow_code=allow_code), store)
        with ProgressView(progress) as view:

            def update(stands: Progress) -> None:
                view.update(stands)
                held.update(stands)

            search = Search(plan, store, dataset, update, voice.say, voice.say_fault)
            held.begun = True
            if search.kept:
                known = len(search.networks) * spec.train.seeds
                voice.say(f"{search.kept} of {known} trainings are in {store.shown} already")
            search.report()
            if not search.finished():
                if local:
                    run_locally(search, dataset, store.checkpoints, device=spec.search.device)
                else:
                    with nullcontext(workers) if workers else workers_of(spec) as started:
                        ready = started()
                        search.workers = len(ready.actors)
                        from trials.ray_tune import run_on_ray  # not while Ray is being started

                        run_on_ray(search, dataset, store.checkpoints, ready)
        store.set_finished(spec.name, search.complete)
        held.finish(
            complete=search.complete, failures=[failure_line(job, failure.message) for job, failure in search.failures]
        )
        return read_front(store, spec.name), sum(not failure.settled for _, failure in search.failures)


def _with_start_weights(plan: Plan, folder: Path, *, allow_code: bool) -> Plan:
    """The plan with the hash of the weights that the base starts from, which lie in the folder then."""
    base = plan.problem.spec.base
    if base.weights is None:
        return plan
    # torch and torchvision, which take seconds to import, are needed for such a base alone
    from safetensors.torch import save

    from nas.start_weights import start_weights

    content = save(start_weights(base, plan.base.architecture, allow_code=allow_code))
    write_atomically({start_path(folder, sha256(content)): content})
    return replace(plan, problem=replace(plan.problem, start_sha256=sha256(content)))


def _with_precision(plan: Plan, store: Store) -> Plan:
    """The plan with the precision that its trainings have, where the spec says auto: an earlier run's, or measured."""
    problem = plan.problem
    if problem.spec.train.precision != "auto":
        return plan
    earlier = store.find_search(problem.spec.name)
    if earlier is not None:
        precision = earlier.data.get("precision", "fp32")
    elif problem.spec.search.device == "cuda" and problem.spec.ray.place:
        raise SpecError(
            "train.precision must be fp32 or bf16 where search.device is cuda on a cluster, as auto is measured by the "
            "driver, which may have no such GPU"
        )
    else:
        recipe = problem.spec.train.recipe("fp32")
        precision = choose_precision(plan.base.architecture, recipe, problem.spec.search.device)
    return replace(plan, problem=replace(problem, precision=precision))
