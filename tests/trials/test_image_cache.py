"""Images from folders, archives and arrays, decoded once."""

import gzip
import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trials.data import DataError, DataSettings
from trials.dataset import load_dataset
from trials.image_cache import _decode_image, open_images
from trials.source_facts import describe_source

SHARED = Path(__file__).parents[3] / "shared" / "data"
Pixels = NDArray[np.uint8]


def picture(seed: int, side: int = 8, mode: str = "RGB", width: int | None = None) -> Image.Image:
    """A picture of noise."""
    shape = (side, width or side, *((len(mode),) if len(mode) > 1 else ()))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode=None)


def write_folder(folder: Path, *parts: str, count: int = 6, make: Callable[[int], Image.Image] = picture) -> Path:
    """Class folders `a` and `b` of PNG files, below each part if there are any."""
    for i, part in enumerate(parts or ("",)):
        for j, label in enumerate("ab"):
            place = folder / part / label
            place.mkdir(parents=True)
            for k in range(count):
                make(100 * i + 10 * j + k).save(place / f"{k}.png")
    return folder


def settings(source: Path, **changes: object) -> DataSettings:
    return DataSettings.model_validate({"source": str(source), **changes})


def test_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    decoded = open_images(settings(folder))
    assert (decoded.images.shape, decoded.classes, decoded.unreadable) == ((12, 3, 8, 8), ("a", "b"), ())
    assert decoded.labels.tolist() == [0] * 6 + [1] * 6
    assert np.array_equal(decoded.images[7], np.asarray(picture(11)).transpose(2, 0, 1))
    facts = describe_source(settings(folder))
    assert (facts.images, facts.channels, facts.side, facts.classes, facts.own) == (12, 3, 8, 2, {})


def test_archive_equals_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", "train", "test")
    with tarfile.open(tmp_path / "pets.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="some/where/pets")
    from_folder, from_archive = open_images(settings(folder)), open_images(settings(tmp_path / "pets.tar.gz"))
    assert sorted(map(bytes, from_folder.images)) == sorted(map(bytes, from_archive.images))
    assert {split: len(part) for split, part in from_archive.splits.items()} == {"train": 12, "test": 12}


def test_own_splits_are_kept(tmp_path: Path) -> None:
    dataset = load_dataset(settings(write_folder(tmp_path / "pets", "train", "test", count=10)))
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 16, "validation": 4, "test": 20}
    decoded = open_images(settings(tmp_path / "pets"))
    assert np.array_equal(dataset.splits["test"], decoded.splits["test"])
    whole = load_dataset(settings(write_folder(tmp_path / "more", "train", "val", "test")))
    assert {name: len(part) for name, part in whole.splits.items()} == {"train": 12, "validation": 12, "test": 12}


def test_folder_beside_splits_is_no_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", "train", "test")
    (folder / "train").rename(folder / "train.bak")
    shutil.copytree(folder / "train.bak", folder / "train")
    with pytest.raises(
        DataError, match=r"beside the folders of splits \(test, train\) nothing else may stand, but 'tr"
    ):
        open_images(settings(folder))


def test_a_changed_source_is_decoded_anew(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    first = open_images(settings(folder)).fingerprint
    assert open_images(settings(folder)).fingerprint == first
    picture(99).save(folder / "a" / "0.png")
    assert open_images(settings(folder)).fingerprint != first


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3)])
def test_colours(tmp_path: Path, mode: str, channels: int) -> None:
    folder = write_folder(tmp_path / "pets", make=lambda seed: picture(seed, mode=mode))
    assert open_images(settings(folder)).images.shape == (12, channels, 8, 8)
    if mode == "L":
        picture(1).save(folder / "a" / "9.png")  # one in colour makes all of them so
        assert open_images(settings(folder)).images.shape == (13, 3, 8, 8)


def test_grey_and_transparent_together(tmp_path: Path) -> None:
    modes = ("L", "RGBA", "LA", "RGB")
    folder = write_folder(tmp_path / "pets", count=4, make=lambda seed: picture(seed, mode=modes[seed % 10 % 4]))
    images = open_images(settings(folder)).images
    assert images.shape == (8, 3, 8, 8)
    assert np.array_equal(images[0], np.broadcast_to(np.asarray(picture(0, mode="L")), (3, 8, 8)))
    assert np.array_equal(images[1], np.asarray(picture(1, mode="RGBA"))[..., :3].transpose(2, 0, 1))
    assert np.array_equal(images[2], np.broadcast_to(np.asarray(picture(2, mode="LA"))[..., 0], (3, 8, 8)))


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (12, 8, 8)).astype(np.uint16)
    numbers = iter(range(12))
    folder = write_folder(tmp_path / "pets", make=lambda _: Image.fromarray(deep[next(numbers)]))
    assert np.array_equal(open_images(settings(folder)).images[:, 0], deep // 256)


def test_sides(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    picture(0, 8, width=12).save(folder / "b" / "wide.png")
    with pytest.raises(DataError, match=r"square and of one size, but 'b/wide.png' has 12 x 8 px .*give data.side"):
        open_images(settings(folder))
    decoded = open_images(settings(folder, side=8))
    assert decoded.images.shape == (13, 3, 8, 8)
    assert np.array_equal(decoded.images[12], np.asarray(picture(0, 8, width=12))[:, 2:10].transpose(2, 0, 1))


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", count=10)
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    png = (folder / "a" / "0.png").read_bytes()
    (folder / "b" / "cut.png").write_bytes(png[: len(png) // 2])
    with pytest.raises(DataError, match=r"at most 1.0% .* unreadable .*, but 2 of 22 are, the first 'a/broken.jpg'"):
        open_images(settings(folder))
    dataset = load_dataset(settings(folder, unreadable_share=0.1))
    assert dataset.unreadable == ("a/broken.jpg", "b/cut.png")
    assert len(dataset.labels) == 20


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "tiff", "bmp", "webp", "ppm"])
@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it finds in damaged files
def test_any_damage_is_a_picture_or_none(kind: str) -> None:
    file = io.BytesIO()
    picture(0, 16).save(file, kind)
    random = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(file.getvalue())
        content[random.integers(len(content))] = random.integers(256)
        pixels = _decode_image(bytes(content[: random.integers(len(content) + 1)]), 8)
        assert pixels is None or (pixels.dtype == np.uint8 and pixels.shape[1:] == (8, 8))


def test_a_folder_among_the_images_is_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    (folder / "a" / "folder.png").mkdir()
    (folder / "a" / "nowhere.png").symlink_to(tmp_path / "nothing")
    assert len(open_images(settings(folder)).labels) == 12


def test_an_archive_that_is_cut_off(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "pets.tar.gz", "w:gz") as archive:
        archive.add(write_folder(tmp_path / "pets"), arcname="pets")
    content = (tmp_path / "pets.tar.gz").read_bytes()
    (tmp_path / "pets.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"pets\.tar\.gz must be an archive that can be read, but: "):
        open_images(settings(tmp_path / "pets.tar.gz"))


@pytest.mark.parametrize("packing", ["", "gz"])
@pytest.mark.parametrize("damage", ["a header", "the end"])
def test_an_archive_that_tarfile_takes_for_ended(tmp_path: Path, packing: str, damage: str) -> None:
    path = tmp_path / f"pets.tar{packing and '.'}{packing}"
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        archive.add(write_folder(tmp_path / "pets"), arcname="pets")
    with tarfile.open(tmp_path / "whole.tar") as archive:
        headers = [member.offset for member in archive.getmembers() if member.isfile()]
    content = bytearray((tmp_path / "whole.tar").read_bytes())
    middle = headers[len(headers) // 2]
    if damage == "a header":
        content[middle : middle + 512] = b"\xff" * 512
    else:
        del content[middle:]
    path.write_bytes(gzip.compress(bytes(content)) if packing else content)
    with pytest.raises(DataError, match=r"must be a whole archive, but is cut or damaged after [1-9]"):
        open_images(settings(path))


def test_arrays(tmp_path: Path) -> None:
    images = np.stack([np.asarray(picture(seed, mode="L")) for seed in range(12)])
    labels = np.arange(12) % 3
    np.savez_compressed(tmp_path / "one.npz", images=images, labels=labels)
    decoded = open_images(settings(tmp_path / "one.npz"))
    assert (decoded.images.shape, decoded.classes) == ((12, 1, 8, 8), ("0", "1", "2"))
    assert np.array_equal(decoded.images[:, 0], images)
    assert np.array_equal(decoded.labels, labels)
    np.savez(tmp_path / "two.npz", x_train=images, y_train=labels, x_test=images[:3], y_test=labels[:3, None])
    assert {name: len(part) for name, part in open_images(settings(tmp_path / "two.npz")).splits.items()} == {
        "train": 12,
        "test": 3,
    }


def test_arrays_that_are_cut_off_or_by_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    images = np.stack([np.asarray(picture(seed, mode="L")) for seed in range(12)])
    np.savez(path, images=np.asfortranarray(images), labels=np.arange(12) % 2)
    with pytest.raises(DataError, match=r"must hold images image by image .*; save numpy.ascontiguousarray of it"):
        open_images(settings(path))
    np.savez(path, images=images, labels=np.arange(12) % 2)
    content = path.read_bytes()
    at = content.index(images[5].tobytes())
    path.write_bytes(content[:at] + bytes(64) + content[at + 64 :])
    with pytest.raises(DataError, match=r"x.npz must be an .npz file of arrays, but: Bad CRC-32"):
        open_images(settings(path))


def test_workers_get_the_file(tmp_path: Path) -> None:
    dataset = load_dataset(settings(write_folder(tmp_path / "pets", count=200)))
    sent = pickle.dumps(dataset)
    assert len(sent) < dataset.images.nbytes / 4
    again = pickle.loads(sent)
    assert again == dataset
    assert np.array_equal(again.images, dataset.images)


def broken_source(kind: str, folder: Path) -> Path:
    """A source that is none, of some kind."""
    path = folder / "x"
    match kind:
        case "empty":
            path.mkdir()
        case "one class":
            shutil.rmtree(write_folder(path) / "b")
        case "missing class":
            shutil.rmtree(write_folder(path, "train", "test") / "test" / "b")
        case "other classes":
            (write_folder(path, "train", "val", "test") / "val" / "b").rename(path / "val" / "c")
        case "loose image":
            picture(0).save(write_folder(path) / "loose.png")
        case "no archive":
            path = folder / "x.tar"
            path.write_bytes(b"no tar")
        case "no arrays":
            path = folder / "x.npz"
            path.write_bytes(b"no npz")
        case "other arrays":
            path = folder / "x.npz"
            np.savez(path, a=np.ones(1))
        case "floats":
            path = folder / "x.npz"
            np.savez(path, images=np.zeros((2, 4, 4)), labels=np.arange(2))
    return path


@pytest.mark.parametrize("name", ["n" * 5000, "~nobody-has-this-name/x", "a/b/../c.npz", "/dev/null", "/dev/zero.tar"])
def test_names_of_no_source(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.source must be mnist5k, torchvision:NAME, or a folder, "):
        open_images(settings(Path(name)))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nowhere", "data.source must be mnist5k, torchvision:NAME, or a folder, "),
        ("empty", "must hold class folders with images"),
        ("one class", "two classes or more"),
        ("missing class", "every split must have the same classes, but test has no 'b'"),
        ("other classes", "every split must have the same classes, but test has no 'c'"),
        ("loose image", "every image must lie in the folder of its class, but 'loose.png' does not"),
        ("no archive", r"x\.tar must be an archive that can be read"),
        ("no arrays", r"x\.npz must be an \.npz file of arrays"),
        ("other arrays", "must hold images and labels, or .*, but holds a"),
        ("floats", "must hold uint8 images .*, but holds float64"),
    ],
)
def test_errors(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_images(settings(broken_source(kind, tmp_path)))
    assert "\n" not in str(caught.value)


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write_folder(tmp_path / "pets")
    (folder / "a" / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError):
        open_images(settings(folder))
    cache = tmp_path / "cache" / "nas-service" / "images"
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    part = next(cache.iterdir()).with_suffix(".part")
    part.mkdir()  # of a process that was killed
    open_images(settings(folder, unreadable_share=0.5))
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock"]


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        DataError, match=r"decoded images must be kept in .*, but: .*; make room there and make it writable, or set XDG"
    ):
        open_images(settings(write_folder(tmp_path / "pets")))


@pytest.mark.skipif(not SHARED.exists(), reason="the images that lie beside the project are not there")
@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [
        ("cifar10-25k", (25_000, 3, 32, 32), {"train": 16_000, "validation": 4_000, "test": 5_000}),
        ("tiny-imagenet-10", (5_500, 3, 64, 64), {"train": 4_000, "validation": 1_000, "test": 500}),
    ],
)
def test_real_archives(name: str, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    source = settings(SHARED / f"{name}.tar.gz")
    dataset = load_dataset(source)
    assert dataset.images.shape == shape
    assert {split: len(part) for split, part in dataset.splits.items()} == sizes
    for part in dataset.splits.values():
        assert len(set(np.bincount(dataset.labels[part]))) == 1  # as many of every class
    with tarfile.open(SHARED / f"{name}.tar.gz") as archive:
        member = next(m for m in archive if m.isfile() and "/train/" in m.name)
        file = archive.extractfile(member)
        assert file is not None
        first = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")).transpose(2, 0, 1)
    assert any(np.array_equal(first, image) for image in dataset.images[:600])
