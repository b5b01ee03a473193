"""Networks whose early exits answer the images that they are sure of; later exits see only the rest.

So runs an MSNet (one network with two exits), a cascade (networks with one exit each), and any mixture. N images, C
channels, H and W sides.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces.architecture import INPUT
from search_spaces.build import Network
from search_spaces.errors import NetworkError


def confidences(scores: Tensor, temperature: float = 1.0) -> Tensor:
    """The largest softmax(scores / temperature), float64 [N], of scores [N, classes]: above 0, at most 1.

    Scores that are no numbers say nothing: 1 / classes.
    """
    shares = (scores.double() / temperature).softmax(1).amax(1)
    return shares.where(~shares.isnan(), 1 / scores.shape[1]).clamp(max=1)


class RoutedNetwork(nn.Module):
    """Built networks, one after the other and exit by exit, each only on the images that are left.

    An image is answered at an exit where its confidence is strictly above the exit's threshold, so 0 answers all and 1
    none; the very last exit answers the rest. Within a network, what earlier exits have computed is reused.

    `preprocessing` brings images to the input of each network; of every exit but the last there are a threshold and a
    temperature. Raises NetworkError where there are not as many of each, for thresholds outside of 0 to 1, for
    temperatures that are no positive numbers, and for networks of different classes.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        preprocessing: Sequence[nn.Module],
        *,
        thresholds: Sequence[float],
        temperatures: Sequence[float],
    ) -> None:
        super().__init__()
        _check_networks(networks, preprocessing)
        self.places = [(i, j) for i, network in enumerate(networks) for j in range(len(network.architecture.answers))]
        _check_settings(len(self.places) - 1, thresholds, temperatures)
        self.networks, self.preprocessing = nn.ModuleList(networks), nn.ModuleList(preprocessing)
        self.thresholds, self.temperatures = tuple(map(float, thresholds)), tuple(map(float, temperatures))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes], of each image from the exit that answered it; images [N, C, H, W] of any side."""
        return self.route(images)[0]

    def route(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The scores [N, classes] and the exits int64 [N] that gave them, counted from 0 through all networks.

        Raises NetworkError where the preprocessing does not give a network's input.
        """
        left = torch.arange(len(images), device=images.device)  # images that no exit has answered
        rows, scores, exits = [left[:0]], [self._no_scores(images)], [left[:0]]
        values: dict[str, Tensor] = {}
        for number, (i, segment) in enumerate(self.places):
            if not len(left):
                break
            network = self.networks[i]
            assert isinstance(network, Network)
            if segment == 0:
                values = {INPUT: _checked(self.preprocessing[i](_rows(images, left, len(images))), network)}
            given = network.run_segment(segment, values)
            stays = self._stays(given, number)
            rows.append(left[~stays])
            scores.append(given[~stays])
            exits.append(torch.full_like(rows[-1], number))
            kept = stays.nonzero().flatten()
            values = {name: _rows(value, kept, len(left)) for name, value in values.items()}
            left = left[kept]
        places = torch.cat(rows).argsort()
        return torch.cat(scores)[places], torch.cat(exits)[places]

    def _stays(self, scores: Tensor, number: int) -> Tensor:
        """Which images bool [N] an exit with these scores [N, classes] does not answer."""
        if number == len(self.thresholds):
            return torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
        return confidences(scores, self.temperatures[number]) <= self.thresholds[number]

    def _no_scores(self, images: Tensor) -> Tensor:
        """[0, classes], of the type that the networks compute in."""
        network = self.networks[0]
        assert isinstance(network, Network)
        dtype = next((parameter.dtype for parameter in network.parameters()), torch.get_default_dtype())
        return torch.empty(0, *network.architecture.output, dtype=dtype, device=images.device)


def _rows(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Some of `count` images: [count R, ...] to [rows R, ...], where each has R replicas, one after the other."""
    if len(rows) == count:
        return values
    chosen: Tensor = values.unflatten(0, (count, -1)).index_select(0, rows)
    return chosen.flatten(0, 1)


def _checked(values: Tensor, network: Network) -> Tensor:
    if values.shape[1:] != network.architecture.input:
        raise NetworkError(
            f"preprocessing must give a network its input {network.architecture.input}, but gives "
            f"{tuple(values.shape[1:])}"
        )
    return values


def _check_networks(networks: Sequence[Network], preprocessing: Sequence[nn.Module]) -> None:
    if not networks or len(preprocessing) != len(networks):
        raise NetworkError(
            f"there must be one or more networks and a preprocessing for each, but there are {len(networks)} and "
            f"{len(preprocessing)}"
        )
    outputs = [network.architecture.output for network in networks]
    if len(outputs[0]) != 1 or any(output != outputs[0] for output in outputs):
        raise NetworkError(
            f"all networks must give scores of the same classes, but give {', '.join(map(str, outputs))}"
        )


def _check_settings(count: int, thresholds: Sequence[float], temperatures: Sequence[float]) -> None:
    if len(thresholds) != count or len(temperatures) != count:
        raise NetworkError(
            f"every exit but the last needs a threshold and a temperature, {count} of each, but there are "
            f"{len(thresholds)} and {len(temperatures)}"
        )
    for threshold in thresholds:
        if not 0 <= threshold <= 1:
            raise NetworkError(f"a threshold must be a number from 0 to 1, but got {threshold!r}")
    for temperature in temperatures:
        if not 0 < temperature < float("inf"):
            raise NetworkError(f"a temperature must be a positive number, but got {temperature!r}")
