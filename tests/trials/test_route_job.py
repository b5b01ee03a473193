"""Operating points as jobs: chosen on validation within a bound, applied on test as they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from trials.calibration import confidences
from trials.job import JobResult
from trials.route_job import RouteJob
from trials.scores import KeptScores, read_scores, scores_path
from trials.thresholds import ThresholdError, apply
from trials.weights import CheckpointError, sha256

IMAGES, CLASSES = 200, 5
MACS = (100, 400, 900)


def kept(seed: int, *skills: float) -> KeptScores:
    """Scores of exits that are the more often right, the larger their skill."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(CLASSES, size=IMAGES)
    right = np.eye(CLASSES)[labels]
    scores = np.stack([skill * right + rng.normal(size=(IMAGES, CLASSES)) for skill in skills])
    return KeptScores(scores=scores.astype(np.float32), labels=labels)


STAGES = [kept(0, 1.0), kept(1, 2.0, 3.0)]  # a network with one exit, then one with two
JOB = RouteJob(scores=("a", "b"), macs=MACS, bound=300.0, seed=7)


def by_hand(job: RouteJob, found: JobResult) -> tuple[int, tuple[int, ...]]:
    """Image by image."""
    assert found.route is not None
    exits = [one for stage in STAGES for one in stage.scores]
    correct, reached = 0, [0, 0, 0]
    for image in range(IMAGES):
        for number, one in enumerate(exits):
            reached[number] += 1
            sure, answer = confidences(one[image : image + 1], found.route.temperatures[number])
            if number == len(exits) - 1 or sure[0] > found.route.thresholds[number]:
                correct += int(answer[0] == STAGES[0].labels[image])
                break
    return correct, tuple(reached)


@pytest.mark.parametrize("bound", [100.0, 150.0, 300.0, 900.0, None])
def test_the_most_accurate_point_within_the_bound(bound: float | None) -> None:
    job = RouteJob(scores=("a", "b"), macs=MACS, bound=bound, seed=0)
    found = job.run(STAGES)
    assert found.route is not None
    assert (found.correct, found.route.reached) == by_hand(job, found)
    assert found.route.macs == sum(map(int.__mul__, found.route.reached, MACS))
    assert bound is None or found.route.macs <= bound * IMAGES
    exits = [one for stage in STAGES for one in stage.scores]
    sure = np.stack([confidences(one, t)[0] for one, t in zip(exits, found.route.temperatures, strict=True)])
    right = np.stack([confidences(one)[1] == STAGES[0].labels for one in exits])
    for first in np.linspace(0, 1, 41):
        for second in np.linspace(0, 1, 41):
            exit_ = apply((first, second), sure)
            reached = [(exit_ >= number).sum() for number in range(3)]
            if bound is None or sum(map(int.__mul__, map(int, reached), MACS)) <= bound * IMAGES:
                assert right[exit_, np.arange(IMAGES)].sum() <= found.correct


def test_calibration_lowers_the_error_of_exits_that_are_too_sure() -> None:
    loud = [KeptScores(scores=5 * one.scores, labels=one.labels) for one in STAGES]
    found = JOB.run(loud)
    assert found.route is not None
    assert all(temperature > 1 for temperature in found.route.temperatures)
    assert all(after < before for before, after in found.route.ece)
    quiet = JOB.run(STAGES)
    assert quiet.route is not None
    assert found.correct == quiet.correct, "a temperature puts right what a factor does"


def test_on_test_what_was_chosen_is_applied() -> None:
    found = JOB.run(STAGES)
    assert found.route is not None
    job = JOB.on_test(["c", "d"], found.route)
    assert (job.split, job.scores, job.thresholds) == ("test", ("c", "d"), found.route.thresholds)
    again = job.run(STAGES)
    assert again == found, "on the same images the same"
    others = [kept(5, 1.0), kept(6, 2.0, 3.0)]
    other = job.run(others)
    assert other.route is not None
    assert (other.route.thresholds, other.route.temperatures) == (found.route.thresholds, found.route.temperatures)


def test_json_and_ids() -> None:
    found = JOB.run(STAGES)
    assert RouteJob.from_json(json.loads(json.dumps(JOB.to_json()))) == JOB
    assert JobResult.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.route is not None
    ids = {JOB.id, RouteJob(scores=("a", "c"), macs=MACS, bound=300.0, seed=7).id, JOB.on_test("ab", found.route).id}
    assert len(ids) == 3


def test_a_bound_below_the_first_exit() -> None:
    with pytest.raises(ThresholdError, match="expected MACs must be at least 100"):
        RouteJob(scores=("a", "b"), macs=MACS, bound=99.0, seed=0).run(STAGES)


def test_scores_that_are_kept_come_back_or_are_missed(tmp_path: Path) -> None:
    content = STAGES[1].to_bytes()
    path = scores_path(tmp_path, "job")
    path.write_bytes(content)
    found = read_scores(tmp_path, "job", sha256(content))
    assert np.array_equal(found.scores, STAGES[1].scores)
    assert np.array_equal(found.labels, STAGES[1].labels)
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        read_scores(tmp_path, "job", sha256(content))
    path.write_bytes(b"no scores")
    with pytest.raises(CheckpointError, match="must be safetensors"):
        read_scores(tmp_path, "job", sha256(b"no scores"))
