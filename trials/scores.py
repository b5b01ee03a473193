"""Class scores that were kept: where they lie, and back to arrays. No torch: the driver of a search reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from trials.weights import CheckpointError, read_bytes

Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptScores:
    """Class scores [E, N, K] of E exits for the N images of a split, and the images' classes [N]."""

    scores: Scores
    labels: NDArray[np.int64]

    def to_bytes(self) -> bytes:
        """The file that holds them."""
        return save({"scores": np.ascontiguousarray(self.scores), "labels": np.ascontiguousarray(self.labels)})


def scores_path(folder: Path, job_id: str) -> Path:
    """Where the scores lie that a job keeps."""
    return folder / f"{job_id}.scores"


def read_scores(folder: Path, job_id: str, expected_sha256: str) -> KeptScores:
    """The scores that a job kept; raises CheckpointError for a file that is missing or changed."""
    path = scores_path(folder, job_id)
    try:
        return KeptScores(**load(read_bytes(path, expected_sha256)))
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"scores in {path} must be safetensors, but: {error}") from error
