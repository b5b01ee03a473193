"""The three networks of the NeuralScale paper, with every width of theirs free (Lee and Lee 2020, section 4).

With `shortcuts` "independent" a block's output may have any width: the shortcut is the identity where it can be, else a
1x1 conv. "coupled" keeps the identity, so all blocks of a stage have one width. "conv" has a 1x1 conv in every block
(ConvCut, section 6.4). Defaults are for CIFAR: 32 px, 10 classes.
"""

from typing import Literal, TypeAlias, get_args

from search_spaces.architecture import Architecture
from search_spaces.errors import NetworkError
from search_spaces.ops import Add, Conv, Expand, Pool, Shortcut
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import Inverted, add_classifier, add_conv, add_inverted, add_norm, add_pool, conv
from search_spaces.zoo.checks import check_choice, check_widths

Shortcuts: TypeAlias = Literal["independent", "coupled", "conv"]
VGG11_WIDTHS = (64, 128, 256, 256, 512, 512, 512, 512)
RESNET18_WIDTHS = (64,) * 5 + (128,) * 4 + (256,) * 4 + (512,) * 4
MOBILENETV2_WIDTHS = (32, 16, 24, 24, *(32,) * 3, *(64,) * 4, *(96,) * 3, *(160,) * 3, 320, 1280)
MOBILENETV2_STAGES = ((1, 1), (2, 1), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))  # blocks, stride of the first


def vgg11(
    *, widths: tuple[int, ...] = VGG11_WIDTHS, resolution: int = 32, classes: int = 10, channels: int = 3
) -> Architecture:
    """Eight 3x3 convs with bias, batch normalisation and ReLU, then one linear layer; widths in order of the convs.

    Max pools stand after convs 1, 2, 4, 6 and 8. At 32 px the last map is of 1 px; larger ones are averaged, so the
    classifier is the same at every resolution.
    """
    check_widths(widths, number=len(VGG11_WIDTHS))
    sketch = Sketch((channels, resolution, resolution))
    for layer, width in enumerate(widths, start=1):
        add_conv(sketch, f"conv{layer}", Conv(out_channels=width, kernel=3, padding=1), "relu")
        if layer in (1, 2, 4, 6, 8):
            sketch.add(f"pool{layer}", Pool(function="max", kernel=2, stride=2))
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def preact_resnet18(
    *,
    widths: tuple[int, ...] = RESNET18_WIDTHS,
    shortcuts: Shortcuts = "independent",
    resolution: int = 32,
    classes: int = 10,
    channels: int = 3,
) -> Architecture:
    """A 3x3 conv and eight pre-activation blocks; widths in order: stem, then both convs of each block.

    A conv in a shortcut has no bias and reads the block's input after batch normalisation and ReLU.
    """
    check_widths(widths, number=len(RESNET18_WIDTHS))
    check_choice("shortcuts", shortcuts, get_args(Shortcuts))
    sketch = Sketch((channels, resolution, resolution))
    sketch.add("stem", conv(widths[0], 3))
    for block, pair in enumerate(zip(widths[1::2], widths[2::2], strict=True)):
        stride = 2 if block in (2, 4, 6) else 1
        _add_preactivated(sketch, f"stage{block // 2 + 1}_block{block % 2}", pair, stride, shortcuts)
    add_norm(sketch, "last_norm")
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def _add_preactivated(sketch: Sketch, name: str, widths: tuple[int, int], stride: int, shortcuts: Shortcuts) -> None:
    source = sketch.last
    activated = add_norm(sketch, f"{name}_norm1")
    sketch.add(f"{name}_conv1", conv(widths[0], 3, stride))
    add_norm(sketch, f"{name}_norm2")
    branch = sketch.add(f"{name}_conv2", conv(widths[1], 3))
    if shortcuts == "independent":
        skip = sketch.add(f"{name}_shortcut", Shortcut(stride=stride), source, activated, branch)
    elif shortcuts == "conv" or stride > 1:
        skip = sketch.add(f"{name}_shortcut", conv(widths[1], 1, stride), activated)
    else:
        skip = _identity(sketch, source, branch)
    sketch.add(f"{name}_add", Add(), branch, skip)


def neuralscale_mobilenetv2(
    *,
    widths: tuple[int, ...] = MOBILENETV2_WIDTHS,
    shortcuts: Shortcuts = "independent",
    resolution: int = 32,
    classes: int = 10,
    channels: int = 3,
) -> Architecture:
    """Stem, seventeen inverted residuals of 6 times their input, head; widths in order: stem, blocks, head.

    The paper does not say the strides, nor which blocks have shortcuts; this is the usual variant for 32 px. Stem and
    second stage have stride 1, the first block expands by 1 (a 1x1 conv all the same), every block of stride 1 has a
    shortcut, and a conv there has batch normalisation. Where shortcuts are coupled, the first block of a stage has
    none (as in Sandler et al. 2018).
    """
    check_widths(widths, number=len(MOBILENETV2_WIDTHS))
    check_choice("shortcuts", shortcuts, get_args(Shortcuts))
    sketch = Sketch((channels, resolution, resolution))
    add_conv(sketch, "stem", conv(widths[0], 3), "relu6")
    left = iter(widths[1:])
    for stage, (depth, stride) in enumerate(MOBILENETV2_STAGES, start=1):
        for block in range(depth):
            inverted = Inverted(
                expanded=Expand(factor=1 if stage == 1 else 6), width=next(left), stride=1 if block else stride
            )
            source = sketch.last
            add_inverted(sketch, f"stage{stage}_block{block}", inverted)
            if inverted.stride == 1 and (block or shortcuts != "coupled"):
                _add_linear_shortcut(sketch, f"stage{stage}_block{block}", source, shortcuts)
    add_conv(sketch, "head", conv(next(left), 1), "relu6")
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def _add_linear_shortcut(sketch: Sketch, name: str, source: str, shortcuts: Shortcuts) -> None:
    branch = sketch.last
    if shortcuts == "independent":
        skip = sketch.add(f"{name}_shortcut", Shortcut(norm=True), source, source, branch)
    elif shortcuts == "conv":
        skip = add_conv(sketch, f"{name}_shortcut", conv(sketch.channels(branch), 1), None, source=source)
    else:
        skip = _identity(sketch, source, branch)
    sketch.add(f"{name}_add", Add(), branch, skip)


def _identity(sketch: Sketch, source: str, branch: str) -> str:
    one, other = sketch.channels(source), sketch.channels(branch)
    if one != other:
        raise NetworkError(
            f"coupled shortcuts need one width for all blocks of a stage, but {source!r} has {one} channels and "
            f"{branch!r} {other}; make them equal, or choose shortcuts=independent"
        )
    return source
