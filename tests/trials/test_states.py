"""States of trainings on disk."""

from pathlib import Path

import torch

from tests.trials.test_job import make_job
from trials.states import State, read_state, write_state
from trials.weights import drop_states

JOB = make_job(epochs=10)


def state(epoch: int) -> State:
    return State(epoch=epoch, seconds=1.5 * epoch, tensors={"network.weight": torch.full((2, 3), float(epoch))})


def test_latest_is_read_and_earlier_ones_go(tmp_path: Path) -> None:
    assert read_state(tmp_path, JOB.id) is None
    for epoch in (1, 3):
        write_state(tmp_path, JOB.id, state(epoch))
    assert len(list(tmp_path.iterdir())) == 1
    found = read_state(tmp_path, JOB.id)
    assert found is not None
    assert (found.epoch, found.seconds, set(found.tensors)) == (3, 4.5, {"network.weight"})
    assert torch.equal(found.tensors["network.weight"], torch.full((2, 3), 3.0))
    assert read_state(tmp_path, make_job(seed=1).id) is None


def test_a_state_past_the_jobs_end_is_not_for_it(tmp_path: Path) -> None:
    write_state(tmp_path, JOB.id, state(5))
    assert read_state(tmp_path, JOB.id, 3) is None
    assert read_state(tmp_path, JOB.id, 5) is not None


def test_damaged_states_are_none(tmp_path: Path) -> None:
    write_state(tmp_path, JOB.id, state(5))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-1], b"", content[:-1] + b"\xff"):
        path.write_bytes(damaged)
        assert read_state(tmp_path, JOB.id) is None


def test_drop(tmp_path: Path) -> None:
    other = make_job(seed=1)
    for job in (JOB, other):
        write_state(tmp_path, job.id, state(2))
    drop_states(tmp_path, JOB.id)
    assert read_state(tmp_path, JOB.id) is None
    assert read_state(tmp_path, other.id) is not None
