"""torchvision's datasets by name, from small files in their own formats."""

import hashlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from tests.trials.test_image_cache import picture, write_folder
from trials import DataError, DataSettings
from trials.dataset import load_dataset
from trials.image_cache import DecodedImages, open_images
from trials.torchvision_source import PARTS, is_downloaded


def colours(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [count, 3, side, side]"""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def opened(name: str, root: Path, **changes: object) -> DecodedImages:
    return open_images(DataSettings.model_validate({"source": f"torchvision:{name}", "root": str(root), **changes}))


def sizes(decoded: DecodedImages) -> dict[str, int]:
    return {split: len(part) for split, part in decoded.splits.items()}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_idx(folder: Path, prefixes: dict[str, str]) -> None:
    """MNIST's own files, with real digits."""
    folder.mkdir(parents=True)
    digits = load_dataset(DataSettings(source="mnist5k"))
    for split, prefix in prefixes.items():
        part = digits.splits["train"][::15] if split == "train" else digits.splits["test"][::10]
        images, labels = digits.images[part], digits.labels[part].astype(np.uint8)
        header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (len(part), 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            b"\x00\x00\x08\x01" + len(part).to_bytes(4, "big") + labels.tobytes()
        )


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("MNIST", "train", "t10k"),
        ("FashionMNIST", "train", "t10k"),
        ("KMNIST", "train", "t10k"),
        ("EMNIST", "emnist-balanced-train", "emnist-balanced-test"),
    ],
)
def test_idx_files(tmp_path: Path, name: str, train: str, test: str) -> None:
    write_idx(tmp_path / name / "raw", {"train": train, "test": test})
    decoded = opened(name, tmp_path)
    assert decoded.images.shape == (300, 1, 28, 28)
    assert decoded.classes[:2] == tuple(getattr(datasets, name)(tmp_path, **PARTS[name][0][1]).classes[:2])
    assert sizes(decoded) == {"train": 200, "test": 100}
    digits = load_dataset(DataSettings(source="mnist5k"))
    assert np.array_equal(decoded.images[:200], digits.images[digits.splits["train"][::15]])
    assert np.array_equal(decoded.labels[:200], digits.labels[digits.splits["train"][::15]])


@pytest.mark.parametrize(
    ("name", "labels", "names"), [("CIFAR10", "labels", "label_names"), ("CIFAR100", "fine_labels", "fine_label_names")]
)
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, labels: str, names: str) -> None:
    kind = getattr(datasets, name)
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    images = colours(20, 32)
    for file, part in (("train", slice(0, 14)), ("test", slice(14, 20))):
        classes = [i % 2 for i in range(20)][part]
        (folder / file).write_bytes(pickle.dumps({"data": images[part].reshape(-1, 3072), labels: classes}))
    (folder / "meta").write_bytes(pickle.dumps({names: ["cat", "dog"]}))
    monkeypatch.setattr(kind, "train_list", [["train", md5(folder / "train")]])
    monkeypatch.setattr(kind, "test_list", [["test", md5(folder / "test")]])
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": names, "md5": md5(folder / "meta")})
    decoded = opened(name, tmp_path)
    assert np.array_equal(decoded.images, images)
    assert decoded.classes == ("cat", "dog")
    assert sizes(decoded) == {"train": 14, "test": 6}


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = colours(20, 32)
    files = {}
    for split, part in (("train", slice(0, 12)), ("test", slice(12, 20))):
        file = tmp_path / f"{split}.mat"
        digits = np.array([i % 2 * 9 + 1 for i in range(20)])[part, None]  # 1 and 10, which stands for 0
        savemat(file, {"X": images[part].transpose(2, 3, 1, 0), "y": digits})
        files[split] = ["no address", file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    assert is_downloaded("SVHN", str(tmp_path))
    assert not is_downloaded("SVHN", str(tmp_path / "elsewhere"))
    decoded = opened("SVHN", tmp_path)
    assert np.array_equal(decoded.images, images)
    assert (decoded.classes, decoded.labels[:3].tolist()) == (("0", "1"), [1, 0, 1])
    assert sizes(decoded) == {"train": 12, "test": 8}


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / datasets.STL10.base_folder
    folder.mkdir()
    images = colours(10, 96)
    lists: dict[str, list[list[str]]] = {}
    for split, part in (("train", slice(0, 6)), ("test", slice(6, 10))):
        x, y = folder / f"{split}_X.bin", folder / f"{split}_y.bin"
        x.write_bytes(images[part].transpose(0, 1, 3, 2).tobytes())  # column by column
        y.write_bytes(bytes(i % 2 + 1 for i in range(10))[part])
        lists[split] = [[x.name, md5(x)], [y.name, md5(y)]]
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    (folder / "fold_indices.txt").write_text("")
    monkeypatch.setattr(datasets.STL10, "train_list", lists["train"])
    monkeypatch.setattr(datasets.STL10, "test_list", lists["test"])
    decoded = opened("STL10", tmp_path)
    assert np.array_equal(decoded.images, images)
    assert decoded.classes == ("airplane", "bird")
    assert sizes(decoded) == {"train": 6, "test": 4}


def test_imagenette(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for j, label in enumerate(("n01440764", "n02102040")):
            place = tmp_path / "imagenette2" / part / label
            place.mkdir(parents=True)
            for k in range(3):
                picture(10 * j + k).save(place / f"{k}.JPEG")
    decoded = opened("Imagenette", tmp_path)
    assert decoded.classes == ("tench", "English springer")
    assert sizes(decoded) == {"train": 6, "test": 6}


def test_flowers102(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    for i in range(1, 13):
        picture(i).save(folder / "jpg" / f"image_{i:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": [i % 2 + 1 for i in range(12)]})
    savemat(folder / "setid.mat", {"trnid": [1, 2], "valid": [3, 4, 5, 6], "tstid": list(range(7, 13))})
    known = {"label": ("imagelabels.mat", None), "setid": ("setid.mat", None)}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)
    assert sizes(opened("Flowers102", tmp_path)) == {"train": 2, "validation": 4, "test": 6}


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path / "eurosat" / "2750")
    assert opened("EuroSAT", tmp_path).images.shape == (12, 3, 8, 8)
    (tmp_path / "eurosat" / "2750" / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"at most 1.0% .*, but 1 of 12 are, the first 'image 0'"):
        opened("EuroSAT", tmp_path, side=8)
    assert opened("EuroSAT", tmp_path, side=8, unreadable_share=0.1).unreadable == ("image 0",)


def test_the_folder_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which images they are does not depend on where a search is started."""
    write_folder(tmp_path / "eurosat" / "2750")
    first = opened("EuroSAT", tmp_path)
    monkeypatch.chdir(tmp_path / "eurosat")
    assert opened("EuroSAT", Path("..")).images.filename == first.images.filename  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(PARTS))
def test_every_dataset_takes_its_arguments(name: str, tmp_path: Path) -> None:
    """Its constructor knows them, and their values: what it then misses is its files."""
    kind: Callable[..., object] = getattr(datasets, name)
    for _, arguments in PARTS[name]:
        inspect.signature(kind).bind(str(tmp_path), **arguments)
        with pytest.raises((RuntimeError, FileNotFoundError, OSError)) as caught:
            kind(str(tmp_path), **arguments, **({"download": False} if name == "SEMEION" else {}))
        assert "nknown value" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "root", "message"),
    [
        ("CIFAR11", "x", "must be followed by one of CIFAR10, .*, USPS, but got 'CIFAR11'"),
        ("VOCDetection", "x", "must be followed by one of "),
        ("CIFAR10", "", "data.root must be the folder where CIFAR10 is, or is downloaded to, but is empty"),
        ("ImageNet", "x", "torchvision:ImageNet must be in data.root 'x', or be downloaded, but: "),
    ],
)
def test_errors(source: str, root: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_images(DataSettings(source=f"torchvision:{source}", root=root))
    assert "\n" not in str(caught.value)


def test_labels_that_are_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "eurosat" / "2750")
    monkeypatch.setattr(datasets.EuroSAT, "__getitem__", lambda *_: (Image.new("L", (8, 8)), None))
    with pytest.raises(DataError, match="EuroSAT must give one class an image, but gives NoneType"):
        opened("EuroSAT", tmp_path)
