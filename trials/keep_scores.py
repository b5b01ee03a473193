"""Keeps what trained weights say of every image of a split, for networks that answer at several exits."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from search_spaces import Architecture
from search_spaces.build import build
from trials.checkpoint import read_weights
from trials.data import Dataset
from trials.files import write_atomically
from trials.images import Split, normalise, open_split
from trials.job import Job, JobFailure, JobResult, Outcome
from trials.memory_plan import SCORING_BATCH, halved, with_less
from trials.scores import KeptScores, scores_path
from trials.weights import checkpoint_path, sha256


def try_keep_scores(job: Job, dataset: Dataset, folder: Path, device: str, parts: int = 1) -> Outcome:
    """Write the class scores of a split beside the weights; how many images the last exit gets right."""
    start = time.perf_counter()
    try:
        assert job.split is not None, "a job that keeps scores names a split"
        weights = read_weights(checkpoint_path(folder, job), job.weights_sha256)
        data = open_split(dataset, job.split, job.architecture.resolution)
        scores = with_less(
            lambda parts: exit_scores(job.architecture, weights, data, device, -(-SCORING_BATCH // parts)),
            parts,
            lambda parts: halved(job, parts),
        )
        content = KeptScores(scores=scores.numpy(), labels=data.labels.numpy()).to_bytes()
        write_atomically({scores_path(folder, job.id): content})
        return JobResult(
            correct=int((scores[-1].argmax(1) == data.labels).sum()),
            images=len(data),
            weights_sha256=job.weights_sha256,
            scores_sha256=sha256(content),
            wall_seconds=time.perf_counter() - start,
        )
    except Exception as error:  # the message is kept with the job
        return JobFailure.of(error, settled=False)


def exit_scores(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    data: Split,
    device: str = "cpu",
    batch: int = SCORING_BATCH,
) -> Tensor:
    """Scores float32 [E, N, K] of every exit for all images of a split, computed as `trials.train.score` does."""
    network = build(architecture)
    network.load_state_dict(dict(weights))
    network.to(device).eval()
    mean, std = data.mean.to(device), data.std.to(device)
    with torch.inference_mode():
        found = [
            torch.stack(network.exits(normalise(images.to(device), mean, std))).float().cpu()
            for images, _ in data.batches(batch)
        ]
    return torch.cat(found, dim=1)
