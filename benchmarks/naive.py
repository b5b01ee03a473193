"""Training as one writes it by hand: a torchvision Dataset, PIL transforms, a DataLoader, fp32, networks in turn.

What the engine is measured against. Run as a process of its own, as its imports belong to its time.
"""

import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.make_curves import choose_networks
from nas.spec import read_spec
from search_spaces import Architecture
from search_spaces.build import build
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from trials.data import Dataset as Decoded
from trials.data import channel_statistics
from trials.dataset import load_dataset

Item = tuple[torch.Tensor, int]


class Digits(Dataset[Item]):
    """Rows of the mnist5k digits as PIL images."""

    def __init__(self, decoded: Decoded, split: str, transform: transforms.Compose) -> None:
        rows = decoded.splits[split]  # type: ignore[index]
        self.images, self.labels, self.transform = decoded.images[rows, 0], decoded.labels[rows], transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Item], seconds: float) -> int:
    """One epoch, or as much of it as fits into so many seconds; the images that were seen."""
    network.train()
    start, seen = time.perf_counter(), 0
    for images, labels in loader:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(labels)
        if time.perf_counter() - start > seconds:
            break
    return seen


def digit_loaders(decoded: Decoded, side: int) -> tuple[DataLoader[Item], DataLoader[Item]]:
    """Training and validation images at a resolution."""
    mean, std = channel_statistics(decoded)
    transform = transforms.Compose(
        [transforms.Resize((side, side)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )
    training = DataLoader(Digits(decoded, "train", transform), batch_size=100, shuffle=True)
    return training, DataLoader(Digits(decoded, "validation", transform), batch_size=500)


def score(module: nn.Module, loader: DataLoader[Item]) -> float:
    """Accuracy of a network."""
    module.eval()
    with torch.inference_mode():
        correct = sum(int((module(images).argmax(1) == labels).sum()) for images, labels in loader)
    return correct / len(loader.dataset)  # type: ignore[arg-type]


def train_digits(spec_path: Path, candidates: int) -> None:
    """Every network of a small search, with its seeds, scored on validation."""
    spec = read_spec(spec_path)
    decoded = load_dataset(spec.data)
    for network in choose_networks(spec, candidates)[1:]:
        side = network.architecture.resolution
        training, validation = digit_loaders(decoded, side)
        for seed in range(spec.train.seeds):
            torch.manual_seed(seed)
            module = build(network.architecture)
            optimizer = torch.optim.Adadelta(module.parameters())
            for _ in range(spec.train.epochs):
                train_epoch(module, optimizer, training, float("inf"))
            print(f"{side} px, seed {seed}: {score(module, validation):.4f}", flush=True)


def quarter_vgg11() -> Architecture:
    """VGG11 with a quarter of its widths, at 32 px."""
    return scale_widths(make_network("vgg11"), 0.25)


def train_colours(folder: Path, workers: int, seconds: float) -> None:
    """Images a second of VGG11 at a quarter of its width, flips and crops included."""
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
        ]
    )
    loader = DataLoader(ImageFolder(folder, transform), batch_size=128, shuffle=True, num_workers=workers)
    module = build(quarter_vgg11())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    train_epoch(module, optimizer, loader, seconds / 4)
    start = time.perf_counter()
    seen = train_epoch(module, optimizer, loader, seconds)
    print(seen / (time.perf_counter() - start))


if __name__ == "__main__":
    kind, path, *rest = sys.argv[1:]
    if kind == "digits":
        train_digits(Path(path), int(rest[0]))
    else:
        train_colours(Path(path), int(rest[0]), float(rest[1]))
