"""The zoo against torchvision, against counts that others made, and as modules that run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from search_spaces import Architecture, NetworkError, count_cost, layer_costs
from search_spaces.build import build
from search_spaces.ops import Shape, Shortcut
from search_spaces.zoo import AS_TORCHVISION, ZOO, make_network

SMALL = {"lenet", "vgg11", "preact_resnet18", "neuralscale_mobilenetv2"}  # made for small images
REFERENCE = Path(__file__).parents[1] / "reference" / "neuralscale_costs.json"


@pytest.mark.parametrize("name", AS_TORCHVISION)
def test_costs_are_torchvisions(name: str) -> None:
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    cost = count_cost(make_network(name))
    assert cost.params == meta["num_params"]
    assert round(cost.macs / 1e9, 3) == meta["_ops"]


@pytest.mark.parametrize("name", AS_TORCHVISION)
def test_scores_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=10).eval()
    for norm in layers(theirs, torch.nn.BatchNorm2d):
        torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.1, 2)
    ours = build(make_network(name, resolution=64, classes=10)).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(images)
        assert torch.allclose(ours(images), expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
    assert settings(ours) == settings(theirs)


def layers(module: torch.nn.Module, kind: type[torch.nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def settings(module: torch.nn.Module) -> set[tuple[float, ...]]:
    norms = {(norm.eps, norm.momentum) for norm in layers(module, torch.nn.BatchNorm2d)}
    return norms | {(dropout.p,) for dropout in layers(module, torch.nn.Dropout)}


@pytest.mark.parametrize("alpha", [0.25, 0.35, 0.5, 0.75, 1.3, 1.4])
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_alpha_is_torchvisions(name: str, alpha: float) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, width_mult=alpha)
    ours = make_network(f"{name}:alpha={alpha}")
    assert count_cost(ours).params == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize(
    ("alpha", "params", "macs"), [(1, 4.2, 569), (0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41)]
)
def test_mobilenet_v1_is_the_papers(alpha: float, params: float, macs: int) -> None:  # millions, its table 6
    cost = count_cost(make_network(f"mobilenet_v1:alpha={alpha}"))
    assert (round(cost.params / 1e6, 1), round(cost.macs / 1e6)) == (params, macs)
    assert alpha < 1 or cost.params == 4_231_976


@pytest.mark.parametrize("row", json.loads(REFERENCE.read_text())["networks"], ids=lambda row: row["network"])
def test_neuralscale_costs(row: dict[str, Any]) -> None:
    cost = count_cost(ZOO[row["network"]](widths=tuple(row["widths"]), classes=row["classes"]))
    assert cost.params == row["params"]
    assert row["macs"] in (None, cost.macs)


def test_neuralscale_shortcuts() -> None:
    networks = {
        kind: make_network(f"preact_resnet18:shortcuts={kind}", classes=200)
        for kind in ("independent", "coupled", "conv")
    }
    cost = {kind: count_cost(network).to_json() for kind, network in networks.items()}
    assert cost["coupled"] == cost["independent"]
    # a conv in the five blocks that had none; 11.27 M and 11.62 M in the paper's table 6
    added = 2 * 64**2 + 128**2 + 256**2 + 512**2
    assert cost["conv"]["params"] == cost["independent"]["params"] + added == 11_621_896
    block, activated = "stage2_block0", "stage2_block0_norm1_relu"
    sources = ("stage1_block1_add", activated, f"{block}_conv2")
    assert networks["independent"].node(f"{block}_shortcut").inputs == sources
    assert networks["coupled"].node(f"{block}_shortcut").inputs == (activated,)


def test_neuralscale_mobilenetv2() -> None:
    assert count_cost(make_network("neuralscale_mobilenetv2", classes=10)).params == 2_296_922
    coupled, conv = (make_network(f"neuralscale_mobilenetv2:shortcuts={kind}") for kind in ("coupled", "conv"))
    # without the four shortcuts from stage to stage that project
    projections = sum(i * o + 2 * o for i, o in ((32, 16), (16, 24), (64, 96), (160, 320)))
    identities = sum(width**2 + 2 * width for width in (24, 32, 32, 64, 64, 64, 96, 96, 160, 160))
    assert count_cost(coupled).params == 2_296_922 - projections
    assert count_cost(conv).params == 2_296_922 + identities
    assert sum(node.op.kind == "add" for node in coupled.nodes) == 10
    assert not any(isinstance(node.op, Shortcut) for node in (*coupled.nodes, *conv.nodes))


@pytest.mark.parametrize(
    ("name", "stage"), [("preact_resnet18", (64,) * 4 + (63,)), ("neuralscale_mobilenetv2", (32, 16, 24, 23))]
)
def test_coupled_widths_are_equal_in_a_stage(name: str, stage: tuple[int, ...]) -> None:
    number = {"preact_resnet18": 17, "neuralscale_mobilenetv2": 19}[name]
    widths = stage + (8,) * (number - len(stage))
    assert ZOO[name](widths=widths).output == (10,)
    with pytest.raises(NetworkError, match="coupled shortcuts need one width for all blocks of a stage"):
        ZOO[name](widths=widths, shortcuts="coupled")


@pytest.mark.parametrize("resolution", [32, 64, 96])
def test_vgg11_has_one_classifier_at_all_resolutions(resolution: int) -> None:
    network = make_network("vgg11", resolution=resolution)
    assert before_pool(network) == (512, resolution // 32, resolution // 32)
    assert count_cost(network).params == 9_231_114


@pytest.mark.parametrize(("depth", "multiplier", "params"), [(16, 1, 4_420_968), (32, 2, 19_633_640)])
def test_isometric_params(depth: int, multiplier: int, params: int) -> None:  # 4.4 M and 20 M in the paper
    network = make_network(f"isometric:depth={depth},multiplier={multiplier},internal=14")
    assert count_cost(network).params == params


@pytest.mark.parametrize(
    ("internal", "blocks", "head", "stem"), [(14, 301_056, 326_144, 175_616), (7, 75_264, 81_536, 156_800)]
)
def test_isometric_activation_memory(internal: int, blocks: int, head: int, stem: int) -> None:
    network = make_network(f"isometric:depth=32,multiplier=2,internal={internal}")
    memory = {layer.name: layer.activation_elements for layer in layer_costs(network)}
    assert max(memory[name] for name in memory if name.startswith("block")) == blocks  # 300 K, below 100 K in the paper
    assert memory["head"] == head == internal**2 * (128 + 1536)  # more than any block: the paper leaves it out
    assert memory["stem"] == stem == 3 * 224**2 + 128 * internal**2  # and so it does the image
    assert count_cost(network).activation_elements == max(head, stem)


@pytest.mark.parametrize(
    ("resolution", "internal", "shapes"),
    [
        (224, 14, {"space_to_depth": (3 * 16**2, 14, 14)}),
        (14, 14, {}),
        (14, 28, {"resize": (3, 28, 28)}),
        (100, 14, {"resize": (3, 112, 112), "space_to_depth": (3 * 8**2, 14, 14)}),
    ],
)
def test_isometric_comes_to_its_resolution(resolution: int, internal: int, shapes: dict[str, Shape]) -> None:
    network = make_network(f"isometric:depth=1,internal={internal}", resolution=resolution)
    folds = {name: shape for name, shape in network.shapes.items() if name in ("resize", "space_to_depth")}
    assert folds == shapes
    assert before_pool(network) == (768, internal, internal)


@pytest.mark.parametrize("name", ZOO)
def test_every_network_runs(name: str) -> None:
    text = name if name in SMALL else f"{name}:depth=2" if name == "isometric" else f"{name}:stem=32"
    network = make_network(text, resolution=32, classes=7, channels=2)
    assert Architecture.from_json(network.to_json()) == network
    with torch.no_grad():
        assert build(network).eval()(torch.rand(2, 2, 32, 32)).shape == (2, 7)  # build counts the parameters


@pytest.mark.parametrize("name", sorted(set(ZOO) - SMALL - {"isometric"}))
def test_stems(name: str) -> None:
    networks = {stem: make_network(f"{name}:stem={stem}") for stem in (224, 64, 32)}
    assert {stem: before_pool(network)[1] for stem, network in networks.items()} == {224: 7, 64: 4, 32: 4}
    assert all(network.resolution == stem for stem, network in networks.items())
    assert len({before_pool(network)[0] for network in networks.values()}) == 1


def before_pool(network: Architecture) -> Shape:
    return network.source_shapes(network.node("pool"))[0]


def test_settings_reach_the_network() -> None:
    network = make_network(" lenet: channels1=6, kernel2=5,pool=true ", resolution=20)
    assert network.shapes["pool1"] == (6, 9, 9)
    assert network.shapes["conv2"] == (10, 5, 5)
    narrow = make_network("vgg11:widths=8-8-8-8-8-8-8-16")
    assert before_pool(narrow) == (16, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet19", "network must be one of lenet, vgg11, .*isometric, but got 'resnet19'; did you mean 'resnet18'?"),
        ("", "network must be one of lenet, .*, but got ''$"),
        (
            "isometric:dept=3",
            "each of depth, multiplier, internal at most once, but got 'dept=3'; did you mean 'depth'",
        ),
        ("isometric:depth", "isometric: settings must be key=value .*, but got 'depth'$"),
        ("isometric:depth=1,depth=2", "at most once, but got 'depth=2'"),
        ("resnet18:resolution=32", "each of stem at most once, but got 'resolution=32'"),
        ("isometric:depth=x", r"isometric \(settings: depth, multiplier, internal\): depth must be an integer.*'x'"),
        ("isometric:depth=1.5", "depth must be an integer, but got depth='1.5'"),
        ("mobilenet_v1:alpha=half", "alpha must be a number, but got alpha='half'"),
        ("lenet:pool=yes", "pool must be one of true, false, but got pool='yes'"),
        ("resnet18:stem=33", "stem must be one of 224, 64, 32, but got stem='33'"),
        ("vgg11:widths=64,128", "but got '128'"),
        ("vgg11:widths=8-x", "widths must be integers joined by dashes, as in 64-128-256, but got widths='8-x'"),
        ("vgg11:widths=8-8", "widths must be 8 integers of at least 1, but got 2: widths=8-8"),
        ("preact_resnet18:shortcuts=none", "shortcuts must be one of independent, coupled, conv, but got"),
        ("mobilenet_v2:alpha=0", "alpha must be a number above 0, at most 1024, but got alpha=0.0"),
        ("mobilenet_v1:alpha=nan", "alpha must be a number above 0, at most 1024, but got alpha=nan"),
        ("isometric:depth=0", "depth must be an integer from 1 to 1024, but got depth=0"),
        ("isometric:multiplier=1e999", "multiplier must be a number above 0, at most 1024, but got multiplier=inf"),
        ("lenet:hidden=0", "out_features must be an integer of at least 1"),
    ],
)
def test_wrong_texts(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        make_network(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("images", [{"resolution": 0}, {"classes": 0}, {"channels": 0}], ids=str)
def test_wrong_images(name: str, images: dict[str, int]) -> None:
    with pytest.raises(NetworkError):
        make_network(name, **images)


def test_wrong_choices_in_python() -> None:
    with pytest.raises(NetworkError, match="stem must be one of 224, 64, 32, but got stem=128"):
        ZOO["resnet18"](stem=128)
    with pytest.raises(NetworkError, match="shortcuts must be one of"):
        ZOO["preact_resnet18"](shortcuts="identity")
