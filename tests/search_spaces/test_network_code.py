"""Networks as source code: the same scores as the built network, formatted as ruff does, no text of a name run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.networks import load_network
from search_spaces import INPUT, Architecture, Conv, Linear, NetworkError, Node
from search_spaces.build import MODULES, Place, build
from search_spaces.layer_code import LAYERS, layer_code
from search_spaces.network_code import network_class, segmented_class
from search_spaces.ops import OPS, AdaptivePool, Affine, Flatten, Op, Select, Shape
from search_spaces.parallel import parallel
from search_spaces.sketch import Sketch
from search_spaces.zoo import ZOO, make_network
from search_spaces.zoo.isometric import isometric
from tests.search_spaces.random_exits import early, networks_with_exits
from tests.search_spaces.random_networks import networks
from tests.search_spaces.random_ops import CASES
from tests.search_spaces.trained_networks import trained

RUFF = Path(sys.executable).with_name("ruff")
HEAD = "import torch\nfrom torch import Tensor, nn\nfrom torch.nn import functional as F"


def source(architecture: Architecture) -> str:
    """A whole file, whose images are the network's input."""
    made = network_class(architecture, "Network", "A network.", first="images")
    return "\n\n\n".join((HEAD, *made.needs, made.text)) + "\n"


def run(text: str) -> Any:
    names: dict[str, Any] = {}
    exec(text, names)
    return names["Network"]()


def ruff(folder: Path, *texts: str) -> None:
    """Each is formatted, and free of what ruff finds by default; a whole file uses all that HEAD imports."""
    for number, text in enumerate(texts):
        (folder / f"network{number}.py").write_text(text)
    for command in (["format", "--diff"], ["check", "--extend-select", "E501,I", "--ignore", "F401"]):
        done = subprocess.run(
            [RUFF, *command, "--isolated", "--line-length", "120", folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def assert_same(architecture: Architecture) -> str:
    network = trained(architecture, dtype=torch.float32).eval()
    text = source(architecture)
    assert text == source(architecture)
    written = run(text)
    written.load_state_dict(network.state_dict())
    torch.manual_seed(1)
    images = torch.rand(3, *architecture.input)
    with torch.inference_mode():
        torch.testing.assert_close(written.eval()(images), network(images), rtol=0, atol=0, equal_nan=True)
    return text


def test_every_op_has_its_code() -> None:
    assert set(LAYERS) == set(MODULES) == set(OPS.values())


@settings(max_examples=150)
@given(st.sampled_from(sorted(CASES)).flatmap(lambda kind: CASES[kind]))
def test_layers_give_what_modules_give(case: tuple[Op, tuple[Shape, ...]]) -> None:
    """Every kind of layer with all of its fields, alone."""
    op, sources = case
    try:
        out = op.shape(*sources)
    except NetworkError:
        return
    place = Place.of(op, sources, out)
    layer, module = layer_code(op, place), MODULES[type(op)](op, place).eval()
    torch.manual_seed(0)
    values = [
        torch.randn(2 * (shape[0] if len(shape) in (2, 4) else 1), *shape[len(shape) % 2 == 0 :]) for shape in sources
    ]
    values = [values[i] for i in op.reads(sources)]
    names: dict[str, Any] = {}
    exec(HEAD, names)
    names |= {f"v{i}": value for i, value in enumerate(values)}
    reads = [f"v{i}" for i in range(len(values))]
    if layer.made is not None:
        if layer.made.copied:
            names[layer.made.function] = layer.made.copied
        written = eval(str(layer.made), names).eval()
        written.load_state_dict(module.state_dict())
        found = written(*values)
    else:
        found = values[0] if layer.computed is None else eval(str(layer.computed(reads)), names)
    with torch.inference_mode():
        torch.testing.assert_close(found, module(*values), rtol=0, atol=0, equal_nan=True)


def test_random_networks(tmp_path: Path) -> None:
    texts: list[str] = []

    @settings(max_examples=60)
    @given(networks())
    def check(architecture: Architecture) -> None:
        texts.append(assert_same(architecture))

    check()
    ruff(tmp_path, *texts)


def test_random_networks_with_exits(tmp_path: Path) -> None:
    """All scores at once, and exit by exit with what each leaves."""
    texts: list[str] = []

    @settings(max_examples=60)
    @given(networks_with_exits())
    def check(architecture: Architecture) -> None:
        text = assert_same(architecture)
        parts = segmented_class(architecture, "Network", "A network.")
        whole = "\n\n\n".join((HEAD, *parts.needs, parts.text)) + "\n"
        texts.extend((text, whole))
        network, written = trained(architecture, dtype=torch.float32).eval(), run(whole).eval()
        written.load_state_dict(network.state_dict())
        images = torch.rand(3, *architecture.input)
        with torch.inference_mode():
            values, left = {INPUT: images}, [images]
            for number, method in enumerate(parts.methods):
                scores, left = getattr(written, method)(*left)
                wanted = network.run_segment(number, values)
                torch.testing.assert_close(scores, wanted, rtol=0, atol=0, equal_nan=True)
                assert len(left) <= len(values)
            assert left == []

    check()
    ruff(tmp_path, *texts)


LARGE = [name for name in ZOO if name not in ("lenet", "isometric", "mobilenet_v2")]
TRACED = (
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:efficientnet_b0",
    "torchvision:convnext_tiny",
    "torchvision:googlenet",
)


@pytest.mark.parametrize(
    "name",
    ["lenet", "isometric", "mobilenet_v2", *(pytest.param(one, marks=pytest.mark.slow) for one in (*LARGE, *TRACED))],
)
def test_the_zoo(name: str, tmp_path: Path) -> None:
    ruff(
        tmp_path,
        assert_same(
            load_network(name, resolution=32 if name != "torchvision:googlenet" else 64, classes=5).architecture
        ),
    )


def test_replicas(tmp_path: Path) -> None:
    network = parallel(isometric(depth=2, multiplier=0.25, internal=4, resolution=16, classes=5), 2, "batch-first")
    text = assert_same(network)
    assert "# [4N, " in text
    ruff(tmp_path, text)


def test_lines_as_a_person_writes_them() -> None:
    text = source(make_network("lenet", resolution=28, classes=10, channels=1))
    for line in (
        "        self.conv1 = nn.Conv2d(1, 10, 3)",
        "        x = self.conv1(x)  # [N, 10, 26, 26]",
        "        x = F.relu(x)  # [N, 10, 26, 26]",
        "        return x",
    ):
        assert line in text.splitlines()
    lines = source(early()).splitlines()
    assert "        y = self.block(x)  # [N, 8, 8, 8]" in lines
    assert "        x = y + x  # [N, 8, 8, 8]" in lines


@pytest.mark.parametrize(
    "name", ["class", "None", "__secret", "_", "torch", "F", "nn", "x", "Tensor", "exit_1", "print", "n" * 64]
)
def test_names_that_mean_something_to_python(name: str, tmp_path: Path) -> None:
    sketch = Sketch((3, 8, 8))
    sketch.add(name, Conv(out_channels=4, kernel=3))
    sketch.add("pool", AdaptivePool())
    sketch.add("flat", Flatten())
    sketch.add("first", Linear(out_features=5))
    sketch.add("wide", Affine(factors=(0.1,) * 5, offsets=(1e16, 0.0, -1.5, 1e-9, 3.25)))
    network = sketch.finish(exits=("first",))
    ruff(tmp_path, assert_same(network))
    parts = segmented_class(network, "Network", "A network.")
    assert set(parts.methods).isdisjoint(node.name for node in network.nodes)
    written = run("\n\n\n".join((HEAD, *parts.needs, parts.text)))
    assert written.state_dict().keys() == build(network).state_dict().keys()


def test_no_name_is_code() -> None:
    with pytest.raises(NetworkError, match="node names must be letters, digits and _"):
        Architecture(input=(1, 4, 4), nodes=(Node(name="a=1\nimport os", op=Flatten(), inputs=(INPUT,)),))


def test_long_lists_are_packed(tmp_path: Path) -> None:
    sketch = Sketch((3, 8, 8))
    sketch.add("stem", Conv(out_channels=90, kernel=3))
    sketch.add("chosen", Select(indices=tuple(range(90))))
    sketch.add("scaled", Affine(factors=tuple(i / 7 for i in range(90)), offsets=(0.0,)))
    sketch.add("pool", AdaptivePool())
    sketch.add("flat", Flatten())
    sketch.add("classifier", Linear(out_features=5))
    text = assert_same(sketch.finish())
    assert "# fmt: skip" in text
    ruff(tmp_path, text)
