"""Runs a pruning in this process; one that was killed goes on from its last state on disk."""

import time
from contextlib import suppress
from pathlib import Path

from search_spaces import NetworkError
from trials.checkpoint import read_weights
from trials.data import Dataset
from trials.files import FilesError
from trials.images import open_split
from trials.job import JobFailure
from trials.prune import Pruning
from trials.prune_job import PruneJob, PruneResult
from trials.states import State, read_state, write_state
from trials.train import TrainingDiverged
from trials.weights import start_path

STATE_SECONDS = 60.0  # of pruning that a crash may cost


def try_prune(job: PruneJob, dataset: Dataset, folder: Path, device: str) -> PruneResult | JobFailure:
    """The record of a pruning, or why there is none: settled where it diverged or nothing of the network can go."""
    try:
        return _prune(job, dataset, folder, device)
    except Exception as error:  # the message is kept with the job
        return JobFailure.of(error, settled=isinstance(error, TrainingDiverged | NetworkError))


def _prune(job: PruneJob, dataset: Dataset, folder: Path, device: str) -> PruneResult:
    begun = kept = time.perf_counter()
    start = read_weights(start_path(folder, job.start_sha256), job.start_sha256) if job.start_sha256 else {}
    data = open_split(dataset, "train", job.architecture.resolution)
    pruning = Pruning(job.architecture, data, job.settings, seed=job.seed, start=start, device=device)
    state = read_state(folder, job.id)
    if state is not None:
        pruning.load_state(state.tensors)
        begun -= state.seconds
    while not pruning.finished:
        pruning.run_step()
        if time.perf_counter() - kept > STATE_SECONDS:
            seconds, done = time.perf_counter() - begun, len(pruning.pretraining_losses) + len(pruning.losses)
            with suppress(FilesError):  # it is kept for a crash alone, and may find room next time
                write_state(folder, job.id, State(epoch=done, seconds=seconds, tensors=pruning.state()))
            kept = time.perf_counter()
    return pruning.result(time.perf_counter() - begun)
