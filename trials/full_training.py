"""Training of one network in full, alone in this process: it tells where it stands, and goes on after a crash."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trials.data import Dataset
from trials.device_lock import training_on
from trials.images import open_split
from trials.job import Job
from trials.run import keep_memory
from trials.states import State, read_state, write_state
from trials.train import Member, Training, score

STATE_SECONDS = 120.0  # of training that a crash may cost


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Where a training stands: epochs done, the last one's mean loss, accuracy on validation, seconds of training."""

    done: int
    of: int
    loss: float
    validation_accuracy: float
    seconds: float


def train_in_full(
    job: Job,
    dataset: Dataset,
    folder: Path,
    *,
    start: Mapping[str, Tensor],
    report: Callable[[Epoch], None],
    device: str = "cpu",
) -> dict[str, Tensor]:
    """The weights [by name] that a training ends with, of the network and recipe of the job.

    It begins with `start`, or draws what that does not hold. Its state is kept in the folder, so that the same call
    goes on after a crash and ends with the same weights. `report` is told after each epoch; the weights are those of
    the last one, whichever was best on validation. Raises TrainingDiverged.
    """
    keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS has no deterministic products
    torch.use_deterministic_algorithms(job.recipe.deterministic)
    side = job.architecture.resolution
    validation = open_split(dataset, "validation", side)
    state = read_state(folder, job.id)
    member = Member(seed=job.seed, learning_rate=job.recipe.learning_rate, start={} if state else start)
    with training_on(device):
        training = Training(job.architecture, [member], open_split(dataset, "train", side), job.recipe, device)
        if state is not None:
            training.load_state([state.tensors])
        began = time.perf_counter() - (state.seconds if state else 0.0)
        kept = time.perf_counter()
        while training.epoch < job.recipe.epochs:
            training.run_epoch()
            training.check(0)
            correct = score(job.architecture, training.weights()[0], validation, device)
            seconds = time.perf_counter() - began
            if training.epoch == job.recipe.epochs or time.perf_counter() - kept > STATE_SECONDS:
                write_state(folder, job.id, State(epoch=training.epoch, seconds=seconds, tensors=training.state()[0]))
                kept = time.perf_counter()
            report(
                Epoch(
                    done=training.epoch,
                    of=job.recipe.epochs,
                    loss=training.losses[0][-1],
                    validation_accuracy=correct / len(validation),
                    seconds=seconds,
                )
            )
    return training.weights()[0]
