"""Weights of a trained network, narrowed: they compute what the masked network does; and trainings that begin so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search_spaces import Architecture, Conv, LeNet, NetworkError
from search_spaces.build import Network, build
from search_spaces.edits import with_classes, with_resolution
from search_spaces.magnitude import keep_largest
from search_spaces.narrowing import narrowed, with_free_expansions
from search_spaces.ops import Expand
from search_spaces.shrink import mask
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.search_spaces.trained_networks import assert_close, images_for, trained
from tests.trials.test_job import make_job
from tests.trials.test_run import TINY, results
from trials import Dataset, DataSettings, Job, JobFailure
from trials.checkpoint import read_weights, weights_bytes
from trials.dataset import load_dataset
from trials.images import open_split
from trials.job import JobResult, read_job
from trials.narrowed import narrowed_weights
from trials.run import run_jobs
from trials.train import score
from trials.weights import CheckpointError, checkpoint_path


def small(name: str) -> Architecture:
    return with_classes(with_resolution(scale_widths(make_network(name), 1 / 8), 32), 4)


NETWORKS = {
    "plain": TINY,
    "independent": small("preact_resnet18"),
    "coupled": small("resnet18:stem=32"),
    "expand": small("neuralscale_mobilenetv2"),
    "depthwise": small("mobilenet_v2:stem=32"),
    "dense": small("densenet121:stem=32"),
}
VGG = make_network("vgg11:widths=4-4-4-4-4-4-4-4")


def half(base: Architecture) -> tuple[int, ...]:
    return find_width_groups(scale_widths(base, 1 / 2)).widths


def kept(base: Architecture, folder: Path) -> tuple[Job, Network]:
    """A job whose weights lie in the folder, and its network with them."""
    job, network = make_job(base), trained(base, dtype=torch.float32).eval()
    checkpoint_path(folder, job).write_bytes(weights_bytes(network.state_dict()))
    return job, network


@pytest.mark.parametrize("name", NETWORKS)
def test_the_narrowed_network_computes_what_the_masked_one_does(name: str, tmp_path: Path) -> None:
    base, widths = NETWORKS[name], half(NETWORKS[name])
    job, network = kept(base, tmp_path)
    target = narrowed(base, widths)
    narrow = build(target).eval()
    narrow.load_state_dict(narrowed_weights(target, job, tmp_path))
    wide = build(with_free_expansions(base)).eval()
    wide.load_state_dict(network.state_dict())
    shares = {
        group.name: width / group.width for group, width in zip(find_width_groups(base).groups, widths, strict=True)
    }
    for node in base.nodes:
        if isinstance(node.op, Expand):
            shares[node.name] = target.shapes[node.name][0] / base.shapes[node.name][0]
    masked = mask(wide, keep_largest(wide, shares)).double()
    images = images_for(wide, 2)
    assert_close(narrow.double()(images), masked(images), 1e-9)


def test_the_largest_filters_are_those_that_stay(tmp_path: Path) -> None:
    job, network = kept(TINY, tmp_path)
    weights = narrowed_weights(narrowed(TINY, [1, 8, 32]), job, tmp_path)
    first = network.state_dict()["conv1.weight"]
    largest = int(first.abs().sum((1, 2, 3)).argmax())
    assert torch.equal(weights["conv1.weight"], first[largest : largest + 1])
    assert torch.equal(weights["conv1.bias"], network.state_dict()["conv1.bias"][largest : largest + 1])
    assert torch.equal(weights["conv2.weight"], network.state_dict()["conv2.weight"][:, largest : largest + 1])
    assert torch.equal(weights["hidden.weight"], network.state_dict()["hidden.weight"])


def test_nothing_removed_are_the_weights_themselves(tmp_path: Path) -> None:
    job, network = kept(TINY, tmp_path)
    weights = narrowed_weights(TINY, job, tmp_path)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in weights.items())


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^weights in .* must be those of the network to narrow, but: .*No such"):
        narrowed_weights(narrowed(TINY, half(TINY)), make_job(TINY), tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda _: b"", lambda content: b"x" + content, lambda _: b"x" * 10**4]
)
def test_damaged_weights(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    job, _ = kept(TINY, tmp_path)
    path = checkpoint_path(tmp_path, job)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"^weights in .*\.safetensors must be those of the network to narrow"):
        narrowed_weights(narrowed(TINY, half(TINY)), job, tmp_path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    job = make_job(TINY)
    checkpoint_path(tmp_path, job).write_bytes(weights_bytes(build(VGG).state_dict()))
    with pytest.raises(CheckpointError, match=r"weights must be those of the network, but: .*conv3"):
        narrowed_weights(narrowed(TINY, half(TINY)), job, tmp_path)


def lenet(kernel: int, hidden: int) -> Architecture:
    made = LeNet(
        conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=8, kernel=kernel), hidden=hidden, pool=True
    )
    return made.architecture((1, 14, 14), 10)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lenet(2, 16), r"^channels chosen by magnitude must leave .* but leave another one .*; leave magnitude out"),
        (lenet(3, 33), r"^share of 'hidden' must be above 0 and at most 1, but is 1\.03"),
        (VGG, "must keep the layers"),
    ],
    ids=["kernel", "wider", "layers"],
)
def test_other_targets(target: Architecture, message: str, tmp_path: Path) -> None:
    job, _ = kept(TINY, tmp_path)
    with pytest.raises(NetworkError, match=message):
        narrowed_weights(target, job, tmp_path)


def test_filters_that_would_not_make_the_network(tmp_path: Path) -> None:
    """Ends of an identity shortcut that keep other numbers: what aligns them depends on which channels stay."""
    base = make_network("preact_resnet18:widths=" + "-".join(["4"] * 17), resolution=8)
    job, _ = kept(base, tmp_path)
    target = narrowed(base, [2, 4, 3, 4, 1, *[4] * 12])
    with pytest.raises(NetworkError, match=f"but leave another one .*, not {target.id}"):
        narrowed_weights(target, job, tmp_path)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


@pytest.fixture(scope="module")
def trained_folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In it lie the weights of `ORIGINS`."""
    folder = tmp_path_factory.mktemp("origins")
    results(ORIGINS, dataset, folder)
    return folder


ORIGINS = [make_job(TINY, epochs=2, seed=seed) for seed in range(2)]
NARROW = narrowed(TINY, [3, 6, 24])


def tuned(origin: Job | None, epochs: int = 1, learning_rate: float = 1e-6, seed: int = 7) -> Job:
    job = make_job(NARROW, seed=seed)
    return replace(job, recipe=job.recipe.constant(epochs, learning_rate), origin=origin)


def with_weights(folder: Path, *origins: Job, source: Path) -> Path:
    """The folder, with copies of the origins' weights."""
    for origin in origins:
        checkpoint_path(folder, origin).write_bytes(checkpoint_path(source, origin).read_bytes())
    return folder


def assert_close_weights(given: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert given.keys() == expected.keys()
    for name, value in given.items():
        assert torch.allclose(value, expected[name], rtol=0, atol=1e-4), name


def test_fine_tuning_begins_with_the_narrowed_weights(dataset: Dataset, trained_folder: Path, tmp_path: Path) -> None:
    folder = with_weights(tmp_path, ORIGINS[0], source=trained_folder)
    weights = narrowed_weights(NARROW, ORIGINS[0], folder)
    validation = open_split(dataset, "validation", 14)
    before = score(NARROW, weights, validation) / len(validation)
    assert before > 0.3
    job, anew = tuned(ORIGINS[0]), tuned(None)
    found, other = results([job, anew], dataset, folder)
    assert found.accuracy == pytest.approx(before, abs=0.003)
    assert other.accuracy < 0.3
    assert_close_weights(read_weights(checkpoint_path(folder, job), found.weights_sha256), weights)
    assert found.losses[0] < 0.9 * other.losses[0]


@pytest.mark.parametrize("members", [1, 2])
def test_each_of_a_pack_begins_with_its_own_origin(
    members: int, dataset: Dataset, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run.choose_members", lambda *_, **__: members)
    folder = with_weights(tmp_path, *ORIGINS, source=trained_folder)
    jobs = [tuned(origin, seed=origin.seed) for origin in ORIGINS]
    found = results(jobs, dataset, folder)
    assert [result.members for result in found] == [members] * 2
    for job, result in zip(jobs, found, strict=True):
        assert job.origin is not None
        expected = narrowed_weights(NARROW, job.origin, folder)
        assert_close_weights(read_weights(checkpoint_path(folder, job), result.weights_sha256), expected)


def test_fine_tuning_goes_on_from_a_state(dataset: Dataset, trained_folder: Path, tmp_path: Path) -> None:
    """It needs the origin's weights no more, and ends with the same numbers."""
    folder = with_weights(tmp_path, ORIGINS[0], source=trained_folder)
    job = tuned(ORIGINS[0], epochs=2, learning_rate=0.1)
    (whole,) = results([job], dataset, with_weights_in(tmp_path / "whole", trained_folder))
    results([job.ending(1)], dataset, folder)
    checkpoint_path(folder, ORIGINS[0]).unlink()
    (ended,) = results([job], dataset, folder)
    assert replace(ended, wall_seconds=0.0) == replace(whole, wall_seconds=0.0)


def with_weights_in(folder: Path, source: Path) -> Path:
    folder.mkdir()
    return with_weights(folder, ORIGINS[0], source=source)


def test_without_the_origins_weights_the_others_of_the_pack_go_on(
    dataset: Dataset, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run.choose_members", lambda *_, **__: 2)
    folder = with_weights(tmp_path, ORIGINS[0], source=trained_folder)
    found, failed = run_jobs([tuned(origin) for origin in ORIGINS], dataset, folder)
    assert isinstance(found, JobResult)
    assert isinstance(failed, JobFailure)
    assert failed.message.startswith("CheckpointError: weights in")
    assert not failed.settled


def test_the_origin_is_part_of_the_job() -> None:
    jobs = [tuned(None), *map(tuned, ORIGINS)]
    assert len({job.id for job in jobs}) == 3
    assert "origin" not in jobs[0].to_json()
    for job in jobs:
        again = read_job(json.loads(json.dumps(job.to_json())))
        assert again == job
        assert again.id == job.id
    assert jobs[1].scored_on_test("ab").training() == jobs[1]
    assert tuned(ORIGINS[0], epochs=3).ending(2).training() == tuned(ORIGINS[0], epochs=3)
