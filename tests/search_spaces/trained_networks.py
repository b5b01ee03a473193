"""Built networks with weights as after training, and comparisons of them.

N images, C channels.
"""

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.build import Network, build
from search_spaces.kept import Flags
from search_spaces.modules import StochasticDepth
from search_spaces.zoo import make_network

TOLERANCE = 1e-5  # of the scores' standard deviation
STREAM: dict[str, Flags] = {
    "stem": np.array([True, False, True, True]),
    "stage1_block0_conv2": np.array([False, True, True, False]),
}


def trained(architecture: Architecture, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Network:
    """A network with statistics and weights that differ in every channel."""
    torch.manual_seed(seed)
    network = build(architecture).to(dtype)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    for parameter in network.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return network


def without_chance(network: Network) -> Network:
    """Itself, with layers that draw random numbers made the identity: they draw others for fewer channels."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0
        if isinstance(module, StochasticDepth):
            module.share = 0
    return network


def images_for(network: Network, count: int = 4) -> Tensor:
    """[N, C, H, W]."""
    torch.manual_seed(7)
    return torch.rand(count, *network.architecture.input, dtype=next(network.parameters()).dtype)


def assert_close(given: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """[N, classes] both."""
    given, expected = given.detach(), expected.detach()
    assert float((given - expected).abs().max()) <= tolerance * float(expected.std())


def assert_equal_states(given: nn.Module, expected: nn.Module, tolerance: float = 0.0) -> None:
    states = given.state_dict(), expected.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=0, atol=tolerance), name


def narrow() -> Network:
    """Pre-activation blocks of four channels, the last of five."""
    return trained(make_network("preact_resnet18:widths=" + "-".join(["4"] * 16 + ["5"]), resolution=8))
