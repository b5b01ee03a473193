"""LeNet of Borji's kind: conv1, conv2, a hidden layer and a classifier (seed paper, section 4)."""

from dataclasses import dataclass

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.ops import Activation, Conv, Dropout, Flatten, Linear, Op, Pool, Shape


@dataclass(frozen=True, kw_only=True)
class LeNet:
    """conv1, ReLU, conv2, ReLU, linear, ReLU, dropout 0.5, linear; with `pool`, 2x2/2 max pools after the convs."""

    conv1: Conv
    conv2: Conv
    hidden: int
    pool: bool

    def architecture(self, input_shape: Shape, classes: int) -> Architecture:
        """The network for images (channels, height, width); raises NetworkError where it cannot exist."""
        pool = Pool(function="max", kernel=2, stride=2)
        ops: dict[str, Op] = {"conv1": self.conv1, "relu1": Activation(function="relu")}
        ops |= {"pool1": pool} if self.pool else {}
        ops |= {"conv2": self.conv2, "relu2": Activation(function="relu")}
        ops |= {"pool2": pool} if self.pool else {}
        ops |= {
            "flatten": Flatten(),
            "hidden": Linear(out_features=self.hidden),
            "relu3": Activation(function="relu"),
            "dropout": Dropout(share=0.5),
            "classifier": Linear(out_features=classes),
        }
        sources = [INPUT, *ops]
        nodes = [
            Node(name=name, op=op, inputs=(source,)) for (name, op), source in zip(ops.items(), sources, strict=False)
        ]
        return Architecture(input=input_shape, nodes=tuple(nodes))


def lenet(  # noqa: PLR0913
    *,
    channels1: int = 10,
    channels2: int = 10,
    kernel1: int = 3,
    kernel2: int = 3,
    hidden: int = 50,
    pool: bool = False,
    resolution: int = 28,
    classes: int = 10,
    channels: int = 1,
) -> Architecture:
    """The LeNet with square kernels, stride 1 and no padding."""
    network = LeNet(
        conv1=Conv(out_channels=channels1, kernel=kernel1),
        conv2=Conv(out_channels=channels2, kernel=kernel2),
        hidden=hidden,
        pool=pool,
    )
    return network.architecture((channels, resolution, resolution), classes)
