"""Networks of our own, as architectures."""

from collections.abc import Callable

from search_spaces.architecture import Architecture
from search_spaces.zoo.densenet import densenet121
from search_spaces.zoo.isometric import isometric
from search_spaces.zoo.lenet import LeNet, lenet
from search_spaces.zoo.mobilenet import mobilenet_v1, mobilenet_v2
from search_spaces.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from search_spaces.zoo.neuralscale import neuralscale_mobilenetv2, preact_resnet18, vgg11
from search_spaces.zoo.parse import IMAGES, parse_network
from search_spaces.zoo.resnet import resnet18, resnet34, resnet50

__all__ = ["AS_TORCHVISION", "ZOO", "LeNet", "make_network"]

ZOO: dict[str, Callable[..., Architecture]] = {
    "lenet": lenet,
    "vgg11": vgg11,
    "preact_resnet18": preact_resnet18,
    "neuralscale_mobilenetv2": neuralscale_mobilenetv2,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "densenet121": densenet121,
    "isometric": isometric,
}
# those with the layers of torchvision's network of the same name, in the same order
AS_TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "densenet121",
)  # fmt: skip


def make_network(
    text: str, *, resolution: int | None = None, classes: int | None = None, channels: int | None = None
) -> Architecture:
    """The network that a text names, as "resnet18" or "mobilenet_v1:alpha=0.5,stem=32"; widths are joined by dashes.

    Resolution, classes and image channels are the network's own defaults where they are None. Raises NetworkError.
    """
    function, settings = parse_network(text, ZOO)
    images = zip(IMAGES, (resolution, classes, channels), strict=True)
    return function(**settings, **{name: value for name, value in images if value is not None})
