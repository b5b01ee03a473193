"""Jobs that find too little memory: real allocations that fail, in processes that may not have more."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_spaces import Conv, LeNet
from tests.trials.test_job import make_job
from tests.trials.test_run import TINY
from trials import Dataset, DataSettings, Job
from trials.dataset import load_dataset
from trials.images import open_split
from trials.job import JobResult, read_result
from trials.memory_plan import is_out_of_memory
from trials.run import run_jobs
from trials.train import Member, Training

LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
from trials import DataSettings
from trials.dataset import load_dataset
from trials.job import Job
from trials.run import run_jobs

torch.ones(8, 8) @ torch.ones(8, 8)  # what the libraries keep for themselves
jobs = [Job.from_json(one) for one in json.loads(sys.argv[1])]
dataset = load_dataset(DataSettings(source="mnist5k"))
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
limit = used + int(float(sys.argv[3]) * 1e6)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
outcomes = run_jobs(jobs, dataset, Path(sys.argv[2]))
print(json.dumps([one.to_json() if hasattr(one, "to_json") else one.message for one in outcomes]))
"""
WIDE = LeNet(
    conv1=Conv(out_channels=64, kernel=3), conv2=Conv(out_channels=4, kernel=5, stride=4), hidden=8, pool=False
).architecture((1, 28, 28), 10)


def wide_job(batch: int, accumulate: int = 1) -> Job:
    job = make_job(WIDE, epochs=1)
    recipe = job.recipe.model_copy(update={"batch_size": batch, "accumulate": accumulate, "deterministic": True})
    return replace(job, recipe=recipe)


def run_limited(jobs: list[Job], folder: Path, megabytes: float) -> list[JobResult | str]:
    """Outcomes in a process that may have so much more memory than it begins with; of failures what they say."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps([job.to_json() for job in jobs]), str(folder), str(megabytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [one if isinstance(one, str) else read_result(one) for one in json.loads(done.stdout)]
    return [one for one in found if isinstance(one, str | JobResult)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


def test_a_job_that_finds_no_memory_goes_on_with_its_batches_in_parts_to_the_same_weights(
    dataset: Dataset, tmp_path: Path
) -> None:
    """It has no batch norm: the same step over the same images, up to rounding."""
    (short,) = run_limited([wide_job(800)], tmp_path / "short", 400)
    assert isinstance(short, JobResult), short
    assert 8 <= short.micro_batch < 800
    assert short.attributes()["micro_batch"] == short.micro_batch
    (whole,) = run_jobs([wide_job(800)], dataset, tmp_path)
    assert isinstance(whole, JobResult)
    assert whole.micro_batch == 0
    assert "micro_batch" not in whole.attributes()
    assert short.losses == pytest.approx(whole.losses, rel=1e-4)
    assert short.accuracy == pytest.approx(whole.accuracy, abs=0.005)


def test_a_job_that_no_cut_helps_fails_with_the_cause_and_others_go_on(tmp_path: Path) -> None:
    heavy = LeNet(conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=8, kernel=5), hidden=20_000, pool=False)
    jobs = [make_job(heavy.architecture((1, 28, 28), 10), epochs=1), make_job(TINY, epochs=1)]
    failed, small = run_limited(jobs, tmp_path, 250)  # its weights alone are 310 MB
    assert isinstance(failed, str)
    assert "can't allocate memory" in failed
    assert isinstance(small, JobResult), small


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_signs_of_too_little_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(("accumulate", "micro_batch"), [(3, 34), (8, 13)])
def test_parts_of_a_batch_are_those_of_a_recipe_that_accumulates(
    dataset: Dataset, accumulate: int, micro_batch: int
) -> None:
    """The same bits, also where the last batch of an epoch is smaller (3,000 images by 100: none)."""
    data = open_split(dataset, "train", 14)
    found = []
    for parts, size in ((accumulate, 0), (1, micro_batch)):
        recipe = make_job(TINY, epochs=1).recipe.model_copy(update={"accumulate": parts})
        training = Training(TINY, [Member(seed=0, learning_rate=1.0)], data, recipe, micro_batch=size)
        training.run_epoch()
        found.append((training.losses, training.weights()[0]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


@pytest.mark.parametrize(
    ("images", "size", "expected"), [(100, 50, [50, 50]), (13, 4, [4, 4, 5]), (3, 1, [3]), (1, 8, [1])]
)
def test_no_part_is_one_image(dataset: Dataset, images: int, size: int, expected: list[int]) -> None:
    recipe = make_job(TINY, epochs=1).recipe
    data = open_split(dataset, "train", 14)
    training = Training(TINY, [Member(seed=0, learning_rate=1.0)], data, recipe, micro_batch=size)
    assert training._part_sizes(images) == expected
