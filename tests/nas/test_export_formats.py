"""Every format of every kind of network, loaded in a fresh process that has none of our packages."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.export import ExportError
from nas.export_formats import make_formats
from nas.export_torch import torch_files
from search_spaces.routing import RoutedNetwork
from tests.conftest import run_nas
from tests.nas.exports import KINDS
from trials import DataSettings
from trials.dataset import load_dataset
from trials.files import write_atomically
from trials.images import resize_images

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "code": ".py", "card": ".md"}
DOC = Path(__file__).parents[2] / "docs" / "export.md"
FRESH = """
import sys
import numpy as np, torch
{block}
images = np.load("images.npy")
{use}
ours = {{"nas", "trials", "dashboards", "search_spaces"}} & {{name.partition(".")[0] for name in sys.modules}}
assert not ours, ours
np.save("scores.npy", scores)
"""
CODE = """
sys.path.insert(0, ".")
from winner import Network
from safetensors.torch import load_file
network = Network()
network.load_state_dict(load_file("winner.safetensors"))
with torch.inference_mode():
    scores = network.eval()(torch.from_numpy(images)).numpy()
"""
STATIC = {
    "onnx": "from onnxruntime import InferenceSession\n"
    'scores = InferenceSession("winner.onnx").run(["scores"], {"images": np.load("16.npy")})[0]',
    "torch": "with torch.inference_mode():\n"
    '    (scores,) = torch.export.load("winner.pt2").module()(torch.from_numpy(np.load("16.npy")))\n',
}
ROUTED = {
    "onnx": 'scores = route({side: np.load(f"{side}.npy") for side in (10, 16)})',
    "torch": "with torch.inference_mode():\n"
    '    scores = route({side: torch.from_numpy(np.load(f"{side}.npy")) for side in (10, 16)})\n',
}


def block_of(word: str) -> str:
    """The lines of docs/export.md that route by files of which they hold this word, for two exits."""
    blocks = [block.split("```")[0] for block in DOC.read_text().split("```python\n")[1:]]
    (found,) = (block for block in blocks if word in block and "def route" in block)
    return found.replace("(1, 2, 3)", "(1, 2)")


@pytest.fixture(scope="module")
def written(exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By kind a folder with all formats, and images of all sides."""
    dataset = load_dataset(DataSettings(source="mnist5k"))
    folders = {}
    for kind in KINDS:
        folder = folders[kind] = tmp_path_factory.mktemp(f"formats-{kind}")
        for name in ("winner.json", "winner.safetensors"):
            shutil.copy(exports[kind] / name, folder)
        files = {name: folder / f"winner{suffix}" for name, suffix in SUFFIXES.items()}
        write_atomically(make_formats(nas.load(folder / "winner.json"), files, force=False))
        images = torch.from_numpy(dataset.images[dataset.splits["test"][:60]])
        np.save(folder / "images.npy", images.numpy())
        for side in (10, 16):
            np.save(folder / f"{side}.npy", resize_images(images, side).numpy())
    return folders


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["onnx", "torch", "code"])
def test_a_fresh_process_gives_the_same_scores(written: dict[str, Path], kind: str, name: str) -> None:
    folder = written[kind]
    loaded = nas.load(folder / "winner.json")
    with torch.inference_mode():
        wanted, exits = loaded.route(torch.from_numpy(np.load(folder / "images.npy")))
    if kind != "static":
        assert set(exits.tolist()) == {0, 1}, "both exits answer some"
    word = {"onnx": "InferenceSession(", "torch": "torch.export.load("}.get(name)
    block = block_of(word) if word and kind != "static" else ""
    use = CODE if name == "code" else (STATIC if kind == "static" else ROUTED)[name]
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(block=block, use=use)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(folder / "scores.npy"), wanted.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_this_machine_is_in_the_files(written: dict[str, Path], kind: str) -> None:
    ours = (str(Path(nas.__file__).parents[1]), str(Path(torch.__file__).parent), "stack_trace", "nas.export")
    for path in sorted(written[kind].glob("winner*")):
        contents = [path.read_bytes()]
        if path.suffix == ".pt2":
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        for word in ours:
            assert not any(word.encode() in content for content in contents), (path.name, word)


def test_files_of_a_stage_hold_its_own_weights_alone(written: dict[str, Path]) -> None:
    folder = written["msnet"]
    sizes = [(folder / f"winner.{number}.pt2").stat().st_size for number in (1, 2)]
    whole = (folder / "winner.safetensors").stat().st_size
    assert sizes[0] < whole < sizes[1] + sizes[0], "the second is the larger one by far"


def test_any_batch(written: dict[str, Path]) -> None:
    program = torch.export.load(written["static"] / "winner.pt2").module()
    images = torch.from_numpy(np.load(written["static"] / "16.npy"))
    for count in (1, 2, 17):
        assert program(images[:count])[0].shape == (count, 10)
    with pytest.raises(Exception, match=r"(?i)shape|guard|size"):
        program(images[:, :, :15, :15])


def test_other_scores_are_refused(exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is changed after torch has made it, by one of its weights."""
    plain = nas.export_torch._plain

    def changed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
        name, weights = next(pair for pair in program.state_dict.items() if pair[1].dim() == 4)
        program.state_dict[name] = torch.nn.Parameter(torch.zeros_like(weights))
        return plain(program)

    monkeypatch.setattr("nas.export_torch._plain", changed)
    loaded = nas.load(exports["msnet"] / "winner.json")
    assert isinstance(loaded.network, RoutedNetwork)
    with pytest.raises(ExportError, match=r"w\.pt2 must give scores as torch does, but differs by"):
        torch_files(loaded.network, loaded.preprocess, Path("w.pt2"), {})


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("onnx", "w.json", r"the file must have a plain name that ends with \.onnx, but is 'w.json'"),
        ("torch", "w.pt", r"the file must have a plain name that ends with \.pt2"),
        ("code", "a\nb.py", r"the file must have a plain name"),
        ("card", "w\\.md", r"the file must have a plain name"),
    ],
)
def test_names_of_files(exports: dict[str, Path], name: str, file: str, message: str) -> None:
    loaded = nas.load(exports["static"] / "winner.json")
    with pytest.raises(ExportError, match=message):
        make_formats(loaded, {name: Path(file)}, force=False)


def test_all_files_or_none(written: dict[str, Path], tmp_path: Path) -> None:
    for name in ("winner.json", "winner.safetensors"):
        shutil.copy(written["cascade"] / name, tmp_path)
    (tmp_path / "winner.2.pt2").write_bytes(b"mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    flags = ["--card", "card.md", "--code", "code.py", "--torch", "winner.pt2"]
    done = run_nas(tmp_path, "export", "winner.json", *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the file must be new, but winner.2.pt2 exists; choose another or pass --force" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "winner.2.pt2").read_bytes() == b"mine"
    for arguments in ([], ["-o", "again.json"]):
        done = run_nas(tmp_path, "export", "winner.json", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "winner.json is exported already" in done.stderr


@pytest.mark.slow
def test_a_search_in_all_formats(finished_search: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{finished_search}/nas.db"
    flags = ["--torch", "w.pt2", "--code", "w.py", "--card", "w.md"]
    done = run_nas(tmp_path, "export", "small", "-o", "best.json", *flags, "--storage", storage)
    assert done.returncode == 0, done.stderr
    names = ["best.json", "best.safetensors", "w.md", "w.pt2", "w.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert 'load_file("best.safetensors")' in (tmp_path / "w.py").read_text()
