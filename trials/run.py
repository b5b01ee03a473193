"""Runs jobs in this process: those of one architecture together, where that is quicker."""

import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from search_spaces import NetworkError
from trials.checkpoint import read_weights, weights_bytes
from trials.data import Dataset
from trials.device_lock import training_on
from trials.files import FilesError, write_atomically
from trials.fusing import choose_members
from trials.images import Split, open_split
from trials.job import AnyJob, Job, JobFailure, JobResult, Outcome
from trials.keep_scores import try_keep_scores
from trials.memory_plan import LEAST, SCORING_BATCH, halved, micro_batch, with_less
from trials.narrowed import narrowed_weights
from trials.prune_job import PruneJob
from trials.run_prune import try_prune
from trials.states import State, read_state, write_state
from trials.train import Member, Training, TrainingDiverged, score
from trials.weights import checkpoint_path, sha256, start_path

STATE_SECONDS = 120.0  # of training that a crash may cost


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Trainings of one architecture that differ in seed and learning rate alone and stand at the same epoch."""

    jobs: list[Job]
    states: list[State]  # to go on from; empty at the beginning


def run_jobs(
    jobs: Sequence[AnyJob], dataset: Dataset, folder: Path, device: str = "cpu", *, threads: int = 1, parts: int = 1
) -> list[Outcome]:
    """The outcomes of jobs, in their order; whatever goes wrong with one, the others go on.

    Jobs that differ in seed or learning rate alone train as one fused network where a measurement says that this is
    quicker. One that finds no memory is tried alone, then with its batches in more `parts`. `threads` are as many as
    the cores that the worker owns.
    """
    torch.set_num_threads(threads)
    keep_memory()
    outcomes: dict[str, Outcome] = {}
    with training_on(device):
        for job in jobs:
            if isinstance(job, PruneJob):
                outcomes[job.id] = try_prune(job, dataset, folder, device)
            elif job.kind == "test":
                outcomes[job.id] = _try_score(job, dataset, folder, device, parts)
            elif job.kind == "scores":
                outcomes[job.id] = try_keep_scores(job, dataset, folder, device, parts)
        trainings = [job for job in jobs if isinstance(job, Job) and job.kind == "train"]
        try:
            groups = _groups(trainings, folder)
        except FilesError as error:
            groups, outcomes = [], outcomes | {job.id: _failure(error) for job in trainings}
        for group in groups:
            for part in _parts(group, dataset, device):
                outcomes.update(_try_train(part, dataset, folder, device, parts))
    return [outcomes[job.id] for job in jobs]


def _groups(jobs: Sequence[Job], folder: Path) -> list[_Group]:
    groups: dict[object, list[tuple[Job, State | None]]] = {}
    for job in jobs:
        state = read_state(folder, job.training().id, job.epochs)
        recipe = job.recipe.without_learning_rate()
        key = (job.architecture.id, recipe, job.until, job.start_sha256, job.origin is None, state and state.epoch)
        groups.setdefault(key, []).append((job, state))
    return [
        _Group(jobs=[job for job, _ in group], states=[state for _, state in group if state is not None])
        for group in groups.values()
    ]


def _parts(group: _Group, dataset: Dataset, device: str) -> list[_Group]:
    """Those that are trained at once: all, or each alone."""
    job, done = group.jobs[0], group.states[0].epoch if group.states else 0
    steps = job.recipe.steps(len(dataset.splits["train"])) * (job.epochs - done)
    size = choose_members(job.architecture, job.recipe, count=len(group.jobs), steps=steps, device=device)
    return [
        _Group(jobs=group.jobs[first : first + size], states=group.states[first : first + size])
        for first in range(0, len(group.jobs), size)
    ]


def _try_train(group: _Group, dataset: Dataset, folder: Path, device: str, parts: int) -> dict[str, Outcome]:
    """Outcomes by job id. Where members cannot train together, as for want of memory, each is tried alone."""
    if len(group.jobs) > 1:
        with suppress(Exception):
            try:
                found = _train(group, dataset, folder, device, parts)
            except FilesError as error:  # no disk will have room for fewer
                return {job.id: _failure(error) for job in group.jobs}
            return dict(zip((job.id for job in group.jobs), found, strict=True))
        alone = [_Group(jobs=[job], states=group.states[i : i + 1]) for i, job in enumerate(group.jobs)]
        return {id_: found for one in alone for id_, found in _try_train(one, dataset, folder, device, parts).items()}
    (job,) = group.jobs
    try:
        (outcome,) = with_less(
            lambda parts: _train(group, dataset, folder, device, parts), parts, lambda parts: halved(job, parts)
        )
    except Exception as error:  # the message is kept with the trials
        outcome = _failure(error)
    return {job.id: outcome}


def _train(group: _Group, dataset: Dataset, folder: Path, device: str, parts: int) -> list[Outcome]:
    """Train to the jobs' end, write the weights of whole trainings and the states of partial ones, score."""
    start = kept = time.perf_counter()
    job = group.jobs[0]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS has no deterministic products
    torch.use_deterministic_algorithms(job.recipe.deterministic)
    members = [
        Member(
            seed=job.seed,
            learning_rate=job.recipe.learning_rate,
            start={} if group.states else _first_weights(job, folder),
        )
        for job in group.jobs
    ]
    data = open_split(dataset, "train", job.architecture.resolution)
    less = micro_batch(job, parts) if parts > 1 else 0
    training = Training(job.architecture, members, data, job.recipe, device, micro_batch=less)
    if group.states:
        training.load_state([state.tensors for state in group.states])
    while training.epoch < job.epochs:
        training.run_epoch()
        if training.epoch < job.epochs and time.perf_counter() - kept > STATE_SECONDS:
            with suppress(FilesError):  # it is kept for a crash alone, and may find room next time
                _keep_states(training, group, start, folder)
            kept = time.perf_counter()
    hashes = [""] * len(members)
    if job.until is not None:
        hashes = _keep_states(training, group, start, folder)
    elif time.perf_counter() - start > STATE_SECONDS:
        # others of the pack may still train for long, and a crash must not cost this one
        with suppress(FilesError):
            _keep_states(training, group, start, folder)
    validation = open_split(dataset, "validation", job.architecture.resolution)
    outcomes: list[Outcome] = []
    for member, (trained, weights) in enumerate(zip(group.jobs, training.weights(), strict=True)):
        try:
            training.check(member)
            if job.until is None:
                content = weights_bytes(weights)
                write_atomically({checkpoint_path(folder, trained): content})
                hashes[member] = sha256(content)
        except (TrainingDiverged, FilesError) as error:
            outcomes.append(_failure(error))
            continue
        result = JobResult(
            correct=_score(job, weights, validation, device, parts),
            images=len(validation),
            weights_sha256=hashes[member],
            wall_seconds=_seconds(group, member, start),
            losses=tuple(training.losses[member]),
            members=len(members),
            micro_batch=less,
        )
        outcomes.append(result)
    return outcomes


def _first_weights(job: Job, folder: Path) -> dict[str, Tensor]:
    """What a training begins with where its seed does not draw it; the same of all seeds only for given weights."""
    if job.origin is not None:
        return narrowed_weights(job.architecture, job.origin, folder)
    return read_weights(start_path(folder, job.start_sha256), job.start_sha256) if job.start_sha256 else {}


def _keep_states(training: Training, group: _Group, start: float, folder: Path) -> list[str]:
    """Write every member's state; their hashes."""
    hashes = []
    for member, (job, tensors) in enumerate(zip(group.jobs, training.state(), strict=True)):
        state = State(epoch=training.epoch, seconds=_seconds(group, member, start), tensors=tensors)
        hashes.append(write_state(folder, job.training().id, state))
    return hashes


def _seconds(group: _Group, member: int, start: float) -> float:
    """A member's share of the time since the start, and the time of what it was continued from."""
    earlier = group.states[member].seconds if group.states else 0.0
    return earlier + (time.perf_counter() - start) / len(group.jobs)


def _score(job: Job, weights: Mapping[str, Tensor], data: Split, device: str, parts: int) -> int:
    """Images that are right; so many at a time as there is memory for, which changes no score."""

    def run(parts: int) -> int:
        return score(job.architecture, weights, data, device, batch=-(-SCORING_BATCH // parts))

    return with_less(run, parts, lambda parts: 2 * parts if 2 * parts * LEAST <= SCORING_BATCH else None)


def _try_score(job: Job, dataset: Dataset, folder: Path, device: str, parts: int) -> Outcome:
    start = time.perf_counter()
    try:
        weights = read_weights(checkpoint_path(folder, job), job.weights_sha256)
        test = open_split(dataset, "test", job.architecture.resolution)
        return JobResult(
            correct=_score(job, weights, test, device, parts),
            images=len(test),
            weights_sha256=job.weights_sha256,
            wall_seconds=time.perf_counter() - start,
        )
    except Exception as error:  # the message is kept with the job
        return _failure(error)


def _failure(error: Exception) -> JobFailure:
    return JobFailure.of(error, settled=isinstance(error, TrainingDiverged | NetworkError))


def keep_memory() -> None:
    """Let glibc keep what is freed: it gave large tensors back to the system and cleared them anew in every step.

    The same step of a LeNet takes a tenth less time (docs/benchmarks.md). Other C libraries know no mallopt.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no allocation of its own mapping
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
