"""From a network as data to a torch module. Its parameters are named after the nodes."""

from torch import Tensor, nn

from search_spaces.architecture import INPUT, Architecture
from search_spaces.cost import count_cost
from search_spaces.errors import NetworkError
from search_spaces.ops import Activation, Conv, Dropout, Flatten, Linear, Op, Pool, Shape


class Network(nn.Module):
    """A built architecture: images [N, C, H, W] of its resolution to class scores [N, classes]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        for node in architecture.nodes:
            if hasattr(self, node.name):
                raise NetworkError(f"node {node.name!r}: torch modules use this name themselves; choose another")
            self.add_module(node.name, _layer(node.op, architecture.source_shape(node)))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes] of images [N, C, H, W]."""
        values = {INPUT: images}
        for node in self.architecture.nodes:
            values[node.name] = self.get_submodule(node.name)(values[node.inputs[0]])
        return values[self.architecture.nodes[-1].name]


def build(architecture: Architecture) -> Network:
    """A freshly initialised module; its parameter count equals the cost model's."""
    network = Network(architecture)
    built = sum(parameter.numel() for parameter in network.parameters())
    counted = count_cost(architecture).params
    assert built == counted, f"built {built} parameters, counted {counted}"
    return network


def _layer(op: Op, source: Shape) -> nn.Module:
    match op:
        case Conv():
            return nn.Conv2d(
                source[0],
                op.out_channels,
                op.kernel,
                stride=op.stride,
                padding=op.padding,
                dilation=op.dilation,
                groups=op.groups,
                bias=op.bias,
            )
        case Linear():
            return nn.Linear(source[0], op.out_features, bias=op.bias)
        case Pool(function="max"):
            return nn.MaxPool2d(op.kernel, op.stride, op.padding)
        case Pool():
            return nn.AvgPool2d(op.kernel, op.stride, op.padding)
        case Activation():
            return nn.ReLU()
        case Dropout():
            return nn.Dropout(op.share)
        case Flatten():
            return nn.Flatten()
