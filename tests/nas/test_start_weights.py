"""A base whose training starts from given weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from nas.base import BaseSpec, base_network
from nas.planning import make_plan
from nas.spec import Spec
from nas.spec_errors import SpecError
from nas.start_weights import start_weights
from search_spaces.build import build
from search_spaces.torchvision_networks import make_classifier
from tests.conftest import run_nas, write_spec
from tests.nas.test_networks import OWN
from trials import SOURCES
from trials.dataset import load_dataset
from trials.files import write_atomically
from trials.job import JobResult
from trials.run import run_jobs
from trials.weights import sha256, start_path

SOURCE = SOURCES["mnist5k"]


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's download is one."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.manual_seed(0)
    torch.save(make_classifier("squeezenet1_1").state_dict(), path)
    return path


def test_torchvisions_weights_on_grey_images_of_ten_classes(squeezenet: Path) -> None:
    base = BaseSpec(network="torchvision:squeezenet1_1", resolution=28, weights=str(squeezenet))
    network = base_network(base, SOURCE, allow_code=False)
    start = start_weights(base, network, allow_code=False)
    state, ours = torch.load(squeezenet), build(network).state_dict()
    missing = set(ours) - set(start)
    assert {name.partition(".")[0] for name in missing} == {"classifier_1"}  # of 1000 classes, and so drawn anew
    assert torch.equal(start["features_0.weight"], state["features.0.weight"].sum(1, keepdim=True))
    assert torch.equal(start["features_3_squeeze.weight"], state["features.3.squeeze.weight"])


def test_weights_of_another_network(squeezenet: Path) -> None:
    for changes, message in {
        "torchvision:squeezenet1_0": "weights must be those of torchvision:squeezenet1_0, but: ",
        "lenet:hidden=9": "weights must be of torchvision:NAME, resnet18, .*, but the base is lenet:hidden=9",
    }.items():
        base = BaseSpec(network=changes, resolution=28, weights=str(squeezenet))
        with pytest.raises(SpecError, match=f"base.weights: {message}"):
            start_weights(base, base_network(base, SOURCE, allow_code=False), allow_code=False)
    narrow = BaseSpec(network="torchvision:squeezenet1_1", resolution=28, weights=str(squeezenet), width=0.5)
    with pytest.raises(
        SpecError, match=r"base.weights must be of the network as it is, .*; leave out width, widths and stem"
    ):
        start_weights(narrow, base_network(narrow, SOURCE, allow_code=False), allow_code=False)


def test_weights_of_torchvision_for_our_own_resnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = make_classifier("resnet18").eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    base = BaseSpec(network="resnet18", resolution=28, weights=str(tmp_path / "resnet18.pth"))
    source = replace(SOURCE, channels=3, classes=1000)
    network = base_network(base, source, allow_code=False)
    ours = build(network).eval()
    ours.load_state_dict(start_weights(base, network, allow_code=False))
    images = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_training_starts_from_them(small: Callable[..., Spec], tmp_path: Path) -> None:
    """After an epoch from trained weights the network is better than after one from scratch."""
    problem = make_plan(small()).problem
    dataset = load_dataset(problem.spec.data)
    (job, _) = problem.jobs(problem.base, dataset.id)
    (scratch,) = run_jobs([job], dataset, tmp_path)
    assert isinstance(scratch, JobResult)
    trained = (tmp_path / f"{job.id}.safetensors").read_bytes()
    write_atomically({start_path(tmp_path, sha256(trained)): trained})
    problem = replace(problem, start_sha256=sha256(trained))
    (again, _) = problem.jobs(problem.base, dataset.id)
    assert again.id != job.id
    assert type(again).from_json(again.to_json()) == again
    (started,) = run_jobs([again], dataset, tmp_path)
    assert isinstance(started, JobResult)
    assert started.correct > scratch.correct
    other = make_plan(small(base=small().base.model_dump() | {"resolution": 15})).problem.base
    assert not problem.jobs(other, dataset.id)[0].start_sha256  # candidates start afresh


@pytest.mark.slow
def test_a_search_over_a_module_of_ones_own(tmp_path: Path) -> None:
    """A user's own LeNet, with weights of their own, against approach IV; the code runs only where it is allowed."""
    (tmp_path / "own_models").mkdir()
    (tmp_path / "own_models" / "digits.py").write_text(OWN)
    namespace: dict[str, Callable[[], torch.nn.Module]] = {}
    exec(OWN, namespace)
    torch.save(namespace["make_model"]().state_dict(), tmp_path / "own.pt")
    base = {"module": "own_models.digits:make_model", "resolution": 24, "weights": "own.pt"}
    spec = write_spec(
        tmp_path,
        base=base,
        budget={"macs": "1.0x", "latency_ms": "50x"},
        train={"epochs": 1, "seeds": 1, "confirm": 0},
        search={"max_candidates": 1},
    )
    refused = run_nas(tmp_path, "plan", str(spec))
    assert refused.returncode == 2
    assert "pass --allow-code" in refused.stderr
    done = run_nas(tmp_path, "search", str(spec), "--allow-code", "--local")
    assert done.returncode == 0, done.stderr
    assert "small: base and front of 2 trained networks" in done.stdout
    again = run_nas(tmp_path, "search", str(spec), "--allow-code", "--local")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 trainings are in" in again.stderr
    exported = run_nas(tmp_path, "export", "small", "-o", "winner.json")
    assert exported.returncode == 0, exported.stderr
    verified = run_nas(tmp_path, "verify", "winner.json")
    assert verified.returncode == 0, verified.stderr
    assert "latency_ms" in verified.stdout
    counted = run_nas(tmp_path, "cost", "winner.json", "--json")
    assert counted.returncode == 0, counted.stderr
    assert len(list(tmp_path.glob("nas.db-checkpoints/start-*.safetensors"))) == 1


def test_file_is_whole_or_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(save({"a": torch.from_numpy(np.ones(3))}))
    base = BaseSpec(network="torchvision:squeezenet1_1", resolution=28, weights=str(tmp_path / "x.pt"))
    with pytest.raises(SpecError, match=r"weights must be a file that torch.save wrote of a state_dict"):
        start_weights(base, base_network(base, SOURCE, allow_code=False), allow_code=False)
