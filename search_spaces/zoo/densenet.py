"""DenseNet121 (Huang et al. 2017, "Densely connected convolutional networks"), as torchvision has it."""

from search_spaces.architecture import Architecture
from search_spaces.ops import Concat, Pool
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import add_classifier, add_norm, add_pool, conv
from search_spaces.zoo.stems import Stem, add_stem, stem_sketch

DEPTHS = (6, 12, 24, 16)
GROWTH = 32  # channels that each layer adds
INNER = 128  # channels between a layer's 1x1 and 3x3 conv


def densenet121(
    *, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Four dense stages, a halving of channels and sides between them.

    The stem is for images of 224 px (7x7 conv of stride 2, max pool), 64 px (3x3 conv, max pool) or 32 px (3x3 conv);
    the last maps are then of 7, 4 and 4 px.
    """
    sketch = stem_sketch(stem, resolution, channels)
    add_stem(sketch, stem)
    for stage, depth in enumerate(DEPTHS, start=1):
        for layer in range(depth):
            _add_layer(sketch, f"stage{stage}_layer{layer}")
        if stage < len(DEPTHS):
            _add_transition(sketch, f"stage{stage}_transition")
    add_norm(sketch, "last_norm")
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def _add_layer(sketch: Sketch, name: str) -> None:
    source = sketch.last
    add_norm(sketch, f"{name}_norm1")
    sketch.add(f"{name}_conv1", conv(INNER, 1))
    add_norm(sketch, f"{name}_norm2")
    new = sketch.add(f"{name}_conv2", conv(GROWTH, 3))
    sketch.add(f"{name}_concat", Concat(), source, new)


def _add_transition(sketch: Sketch, name: str) -> None:
    add_norm(sketch, f"{name}_norm")
    sketch.add(f"{name}_conv", conv(sketch.channels() // 2, 1))
    sketch.add(f"{name}_pool", Pool(function="average", kernel=2, stride=2))
