"""Runs one job in this process."""

import time
from pathlib import Path

import torch

from search_spaces.build import build
from trials.checkpoint import load_weights, read_weights, sha256, weights_bytes
from trials.data import Dataset
from trials.files import write_atomically
from trials.images import prepare_split
from trials.job import Job, JobResult
from trials.train import count_correct, train_network


def checkpoint_path(folder: Path, job: Job) -> Path:
    """Where a job's weights lie."""
    return folder / f"{job.training().id}.safetensors"


def start_path(folder: Path, start_sha256: str) -> Path:
    """Where the weights lie that a training starts from."""
    return folder / f"start-{start_sha256[:16]}.safetensors"


def run_job(job: Job, dataset: Dataset, folder: Path) -> JobResult:
    """Train and write the weights, or score trained weights on test.

    One thread: a worker owns one core. Raises TrainingDiverged, or CheckpointError for damaged weights.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    resolution = job.architecture.resolution
    if job.kind == "train":
        data = prepare_split(dataset, "train", resolution)
        first_weights = read_weights(start_path(folder, job.start_sha256), job.start_sha256) if job.start_sha256 else {}
        network = train_network(job.architecture, data, job.recipe, job.seed, first_weights)
        content = weights_bytes(network)
        write_atomically({checkpoint_path(folder, job): content})
        weights_sha256 = sha256(content)
        scored = prepare_split(dataset, "validation", resolution)
    else:
        weights_sha256 = job.weights_sha256
        network = build(job.architecture)
        load_weights(network, read_weights(checkpoint_path(folder, job), job.weights_sha256))
        scored = prepare_split(dataset, "test", resolution)
    return JobResult(
        correct=count_correct(network, scored),
        images=len(scored.labels),
        weights_sha256=weights_sha256,
        wall_seconds=time.perf_counter() - start,
    )
