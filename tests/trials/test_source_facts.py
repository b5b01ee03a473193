"""What is told of a source."""

from pathlib import Path

import pytest

from trials.source_facts import public_name


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("mnist5k", "mnist5k"),
        ("torchvision:CIFAR10", "torchvision:CIFAR10"),
        ("/home/alice/pets.tar.gz", "pets.tar.gz"),
        ("../alice/pets", "pets"),
        ("~/pets/", "pets"),
        ("~", "folder"),
        ("/", "folder"),
    ],
)
def test_names_have_no_path(source: str, told: str) -> None:
    assert public_name(source) == told


def test_folder_that_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert public_name(".") == tmp_path.name
