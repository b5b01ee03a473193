"""Networks side by side: each is what it would be alone, in scores, gradients, statistics, noise and training."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces import INPUT, Activation, Architecture, Conv, Dropout, Flatten, LeNet, Linear, NetworkError, Node
from search_spaces.build import build
from search_spaces.fuse import FusedNetwork, fuse, pack, unpack
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks
from tests.search_spaces.trained_networks import trained

State: TypeAlias = dict[str, Tensor]
MEMBERS = 3
IMAGES = 4
ZOO = [
    "vgg11", "preact_resnet18", "resnet18:stem=32", "mobilenet_v1:stem=32", "isometric:depth=2,internal=8",
    *(pytest.param(name, marks=pytest.mark.slow) for name in (
        "neuralscale_mobilenetv2", "resnet50:stem=32", "mobilenet_v2:stem=32", "mobilenet_v3_small:stem=32",
        "densenet121:stem=32", "torchvision:shufflenet_v2_x0_5", "torchvision:efficientnet_b0",
        "torchvision:convnext_tiny",
    )),
]  # fmt: skip


def lenet() -> Architecture:
    convs = Conv(out_channels=4, kernel=3), Conv(out_channels=6, kernel=5)
    return LeNet(conv1=convs[0], conv2=convs[1], hidden=10, pool=False).architecture((1, 10, 10), 10)


def narrow(name: str) -> Architecture:
    """An eighth of the widths, at 32 px; the LeNet at 10."""
    if name == "lenet":
        return lenet()
    prefix, _, kind = name.partition(":")
    if prefix == "torchvision":
        return scale_widths(trace_torchvision(kind, resolution=32, classes=10).architecture, 0.125)
    return scale_widths(make_network(name, resolution=32, classes=10), 0.125)


def states_of(architecture: Architecture, dtype: torch.dtype = torch.float64, *, members: int = MEMBERS) -> list[State]:
    """State dicts as after training, each its own."""
    return [trained(architecture, seed=seed, dtype=dtype).state_dict() for seed in range(members)]


def images_of(architecture: Architecture, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Of each member its own, [N, C, H, W]."""
    torch.manual_seed(5)
    return list(torch.rand(MEMBERS, IMAGES, *architecture.input, dtype=dtype))


def fused(architecture: Architecture, states: Sequence[State], seeds: Sequence[int] | None = None) -> FusedNetwork:
    """Networks of these states, training; generator m is seeded with `seeds[m]`."""
    network = fuse(architecture, len(states)).to(next(iter(states[0].values())).dtype)
    network.load_state_dict(pack(states))
    network.generators = [torch.Generator().manual_seed(seed) for seed in seeds or range(len(states))]
    return network.train()


def one_step(network: FusedNetwork, images: Sequence[Tensor]) -> list[State]:
    """Of each member the scores, the gradients and the state after a forward and a backward pass."""
    members = network.members
    scores = network(torch.cat(list(images), dim=1))
    assert scores.shape[:2] == (members, IMAGES)
    (scores * torch.linspace(-1, 2, scores[0].numel(), dtype=scores.dtype).reshape(scores.shape[1:])).sum().backward()
    gradients = {f"{name} grad": tensor.grad for name, tensor in network.named_parameters() if tensor.grad is not None}
    parts = zip(unpack(gradients, members), unpack(network.state_dict(), members), scores.detach(), strict=True)
    return [{**learned, **state, "scores": own} for learned, state, own in parts]


def assert_close(given_: State, expected: State, tolerance: float) -> None:
    """Within a share of the tensor's largest number, for gradients of all gradients' largest."""
    assert given_.keys() == expected.keys()
    steepest = max([0.0, *(float(tensor.abs().max()) for name, tensor in expected.items() if name.endswith(" grad"))])
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()), steepest if name.endswith(" grad") else 0)
        assert given_[name].shape == value.shape, name
        difference = float((given_[name] - value).abs().max())
        assert difference <= tolerance * scale, f"{name}: {difference}, of numbers up to {scale}"


def assert_each_as_alone(
    architecture: Architecture, dtype: torch.dtype, tolerance: float, change: Callable[[FusedNetwork], object]
) -> None:
    """`change` prepares every network: its mode, its memory format."""
    states, images = states_of(architecture, dtype), images_of(architecture, dtype)
    together = fused(architecture, states)
    change(together)
    results = one_step(together, images)
    for member in range(MEMBERS):
        alone = fused(architecture, [states[member]], [member])
        change(alone)
        (expected,) = one_step(alone, [images[member]])
        assert_close(results[member], expected, tolerance)


def channels_last(network: FusedNetwork) -> None:
    network.to(memory_format=torch.channels_last)


CHANGES: dict[str, Callable[[FusedNetwork], object]] = {
    "eval": FusedNetwork.eval,
    "train": FusedNetwork.train,
    "channels_last": channels_last,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["lenet", *ZOO])
def test_each_is_as_alone(name: str, change: str) -> None:
    assert_each_as_alone(narrow(name), torch.float64, 1e-10, CHANGES[change])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["lenet", "vgg11", "isometric:depth=2,internal=8"])
def test_single_precision(name: str, change: str) -> None:
    assert_each_as_alone(narrow(name), torch.float32, 1e-4, CHANGES[change])


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(architecture=networks(), change=st.sampled_from(sorted(CHANGES)))
def test_random_networks(architecture: Architecture, change: str) -> None:
    assert_each_as_alone(architecture, torch.float64, 1e-9, CHANGES[change])


@pytest.mark.parametrize("name", ["lenet", "preact_resnet18", "mobilenet_v1:stem=32"])
def test_one_is_what_build_makes(name: str) -> None:
    architecture = narrow(name)
    torch.manual_seed(3)
    built = build(architecture)
    torch.manual_seed(3)
    alone = fuse(architecture, 1)
    assert list(alone.state_dict()) == list(built.state_dict())
    for key, tensor in built.state_dict().items():
        assert torch.equal(alone.state_dict()[key], tensor), key
    images = torch.rand(IMAGES, *architecture.input)
    assert torch.equal(alone.eval()(images)[0], built.eval()(images))


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(architecture=networks(), members=st.integers(1, 4))
def test_unpack_undoes_pack(architecture: Architecture, members: int) -> None:
    states = states_of(architecture, torch.float32, members=members)
    network = fuse(architecture, members)
    assert network.state_dict().keys() == states[0].keys()
    network.load_state_dict(pack(states))
    for given_, expected in zip(unpack(network.state_dict(), members), states, strict=True):
        assert given_.keys() == expected.keys()
        assert all(torch.equal(given_[name], expected[name]) for name in expected)
    for tensor in unpack(network.state_dict(), members)[0].values():
        tensor.zero_()  # a copy: the network stays
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in pack(states).items())


def test_first_weights_are_as_builds() -> None:
    """Each member's weights have the range that its own layer's would have: it depends on what one member reads."""
    architecture = lenet()
    torch.manual_seed(0)
    parts = unpack(fuse(architecture, MEMBERS).state_dict(), MEMBERS)
    for name, tensor in build(architecture).state_dict().items():
        if tensor.numel() >= 100:
            for part in parts:
                assert float(part[name].abs().max()) == pytest.approx(float(tensor.abs().max()), rel=0.1), name
    assert not torch.equal(parts[0]["conv1.weight"], parts[1]["conv1.weight"])


def noisy() -> Architecture:
    """All kinds of noise, on maps and on vectors."""
    sketch = Sketch((2, 8, 8))
    for name, op in {
        "conv": Conv(out_channels=4, kernel=3), "elements": Dropout(share=0.3),
        "channels": Dropout(share=0.3, channels=True), "relu": Activation(function="relu"), "flatten": Flatten(),
        "hidden": Linear(out_features=20), "vector": Dropout(share=0.5), "classifier": Linear(out_features=3),
    }.items():  # fmt: skip
        sketch.add(name, op)
    return sketch.finish()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("architecture", [lenet(), noisy()], ids=["lenet", "noisy"])
def test_training_is_the_same(architecture: Architecture, dtype: torch.dtype) -> None:
    """Steps of SGD with noise, for members that differ in weights, images, noise and learning rate."""
    states = states_of(architecture, dtype)

    def train(network: FusedNetwork, members: Sequence[int]) -> list[State]:
        rates = torch.tensor([0.01 * (1 + member) for member in members], dtype=dtype)
        generators = [torch.Generator().manual_seed(member) for member in members]
        for _ in range(5):
            images = [torch.rand(IMAGES, *architecture.input, generator=g, dtype=dtype) for g in generators]
            network.zero_grad()
            (network(torch.cat(images, dim=1)).log_softmax(2)[:, :, 0].mean(1)).sum().neg().backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    assert parameter.grad is not None
                    own = parameter.grad.unflatten(0, (len(members), -1))
                    parameter.sub_((rates.reshape(-1, *[1] * (own.dim() - 1)) * own).flatten(0, 1))
        return unpack(network.state_dict(), len(members))

    together = train(fused(architecture, states, [7, 8, 9]), range(MEMBERS))
    for member in range(MEMBERS):
        (alone,) = train(fused(architecture, [states[member]], [7 + member]), [member])
        assert_close(together[member], alone, 1e-5 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("name", ["lenet", "vgg11", "preact_resnet18", "mobilenet_v1:stem=32"])
@pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("broken", range(MEMBERS))
def test_a_member_that_is_not_finite_harms_no_other(name: str, format_: torch.memory_format, broken: int) -> None:
    architecture = narrow(name)
    states, images = states_of(architecture, torch.float32), images_of(architecture, torch.float32)
    sound = one_step(fused(architecture, states).to(memory_format=format_), images)
    images[broken] = torch.full_like(images[broken], torch.nan)
    for tensor in states[broken].values():
        if tensor.dim() == 4:
            tensor[0] = torch.inf
    results = one_step(fused(architecture, states).to(memory_format=format_), images)
    assert results[broken]["scores"].isnan().all()
    for member in set(range(MEMBERS)) - {broken}:
        for key, tensor in sound[member].items():
            assert torch.equal(results[member][key], tensor), key


def test_noise_needs_generators_only_while_training() -> None:
    network = fuse(lenet(), 2)
    images = torch.rand(IMAGES, 2, 10, 10)
    assert network.eval()(images).isfinite().all()
    with pytest.raises(NetworkError, match="need a generator for each of 2 members, but there are 0; set `generators`"):
        network.train()(images)


def test_wrong_members() -> None:
    with pytest.raises(NetworkError, match="members must be at least 1, but got 0"):
        fuse(lenet(), 0)
    node = Node(name="members", op=Flatten(), inputs=(INPUT,))
    with pytest.raises(NetworkError, match="node 'members': torch modules use this name"):
        fuse(Architecture(input=(1, 2, 2), nodes=(node,)), 2)


def test_wrong_states() -> None:
    weights = {"a.weight": torch.zeros(2, 3)}
    with pytest.raises(NetworkError, match="one or more networks of one architecture, but 0 states"):
        pack([])
    for other in ({"b.weight": torch.zeros(2, 3)}, {"a.weight": torch.zeros(3, 3)}):
        with pytest.raises(NetworkError, match="one or more networks of one architecture, but 2 states differ"):
            pack([weights, other])
    counts = [{"norm.num_batches_tracked": torch.tensor(count)} for count in (3, 4)]
    with pytest.raises(NetworkError, match=r"must share norm.num_batches_tracked, but have \[3, 4\]"):
        pack(counts)
