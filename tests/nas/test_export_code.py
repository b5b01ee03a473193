"""The network as a Python file: formatted, the same every time, and nothing of the file's texts is code."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.export import ExportError, LoadedNetwork
from nas.export_code import code_of, write_code
from nas.export_format import ExportedNetwork
from search_spaces import Architecture
from search_spaces.routing import RoutedNetwork, confidences
from tests.nas.exports import KINDS
from tests.nas.test_export_torch import with_replicas
from tests.search_spaces.random_exits import early
from tests.search_spaces.test_network_code import ruff
from tests.search_spaces.trained_networks import trained
from trials.images import Preprocess


def run(text: str) -> Any:
    names: dict[str, Any] = {}
    exec(text, names)
    return names["Network"]().eval()


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_formatted_and_complete(exports: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Scores are equal to the last bit, exit by exit, for images of any side and for none."""
    loaded = nas.load(exports[kind] / "winner.json")
    text = code_of(loaded)
    assert text == code_of(nas.load(exports[kind] / "winner.json"))
    ruff(tmp_path, text)
    network = run(text)
    network.load_state_dict(_own(loaded))
    generator = torch.Generator().manual_seed(5)
    for count, side in ((9, 28), (1, 16), (0, 28), (4, 11)):
        images = torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=generator)
        with torch.inference_mode():
            wanted, exits = loaded.route(images)
            torch.testing.assert_close(network(images), wanted, rtol=0, atol=0)
            if kind != "static":
                assert network.route(images)[1].tolist() == exits.tolist()
    with pytest.raises(TypeError, match=r"images must be uint8, 0 to 255, but are torch\.float32"):
        network(torch.rand(1, 1, 28, 28))


def _own(loaded: LoadedNetwork) -> dict[str, torch.Tensor]:
    return {name: value for name, value in loaded.network.state_dict().items() if "preprocessing" not in name}


def test_it_is_a_module_as_others(exports: dict[str, Path]) -> None:
    """Copies route by their own layers; it can be trained on."""
    loaded = nas.load(exports["cascade"] / "winner.json")
    network = run(code_of(loaded))
    network.load_state_dict(_own(loaded))
    images = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    copied = copy.deepcopy(network)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.inference_mode():
        torch.testing.assert_close(copied(images), loaded(images))
    copied(images).sum().backward()
    assert pickle.loads(pickle.dumps(copied.state_dict())).keys() == copied.state_dict().keys()


def test_a_network_whose_early_exits_are_not_used(exports: dict[str, Path]) -> None:
    """One with exits that is exported as a whole answers by its last, and gives all scores on demand."""
    architecture = early(side=12, channels=1)
    built = trained(architecture, dtype=torch.float32).eval()
    info = nas.load(exports["static"] / "winner.json").info
    network = run(write_code([architecture], info.model_copy(update={"resolution": 12})))
    network.load_state_dict(built.state_dict())
    images = torch.randint(0, 256, (5, 1, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    seen = Preprocess(12, info.preprocessing.mean, info.preprocessing.std)(images)
    with torch.inference_mode():
        for found, wanted in zip(network.exits(images), built.exits(seen), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
        torch.testing.assert_close(network(images), built(seen), rtol=0, atol=0)


def test_replicas_go_on_with_their_images(exports: dict[str, Path]) -> None:
    architecture = with_replicas()
    info = nas.load(exports["msnet"] / "winner.json").info
    assert info.dynamic is not None
    seen = Preprocess(16, info.preprocessing.mean, info.preprocessing.std)
    built = trained(architecture, dtype=torch.float32)
    images = torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        sure = confidences(built.eval().exits(seen(images))[0])
    middle = float(sure.median())
    first, last = info.dynamic.exits
    exits = [first.model_copy(update={"threshold": middle, "temperature": 1.0}), last]
    dynamic = info.dynamic.model_copy(update={"exits": exits})
    routed = RoutedNetwork([built], [seen], thresholds=[middle], temperatures=[1.0]).eval()
    network = run(write_code([architecture], info.model_copy(update={"dynamic": dynamic})))
    network.load_state_dict({f"networks.0.{name}": value for name, value in built.state_dict().items()})
    with torch.inference_mode():
        scores, answered = routed.route(images)
        found, exit_of = network.route(images)
    assert exit_of.tolist() == answered.tolist()
    assert set(answered.tolist()) == {0, 1}
    torch.testing.assert_close(found, scores, rtol=0, atol=0)


@pytest.mark.parametrize("text", ['"""\nimport os\nos.abort()\n"""', "a\nb", "x" * 500, "{0}", "\\", "naïve"])
def test_texts_of_the_file_are_no_code(exports: dict[str, Path], tmp_path: Path, text: str) -> None:
    loaded = nas.load(exports["static"] / "winner.json")
    weights = loaded.info.weights.model_copy(update={"file": f"{text}.safetensors"})
    changes: dict[str, Any] = {"search": text, "network_id": text, "method": text, "weights": weights}
    hostile = loaded.info.model_copy(update=changes)
    code = write_code([Architecture.from_json(data) for data in hostile.networks], hostile)
    assert "abort" not in code
    assert "search unnamed" in code
    assert 'load_file("winner.safetensors")' in code
    ruff(tmp_path, code)


def test_other_scores_are_refused(exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = nas.load(exports["cascade"] / "winner.json")
    written = write_code

    def changed(networks: list[Architecture], info: ExportedNetwork) -> str:
        return written(networks, info).replace("/ 255", "/ 256")

    monkeypatch.setattr("nas.export_code.write_code", changed)
    assert isinstance(loaded.network, RoutedNetwork)
    with pytest.raises(ExportError, match="the code must give scores as torch does, but differs by"):
        code_of(loaded)
