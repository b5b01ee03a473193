"""The weights that the base's training starts from: torchvision's, or a file's."""

from dataclasses import replace
from math import prod

from torch import Tensor

from nas.base import BaseSpec
from nas.networks import MODULE, TORCHVISION, make_own_module
from nas.spec_errors import SpecError
from search_spaces import Architecture, NetworkError
from search_spaces.build import build
from search_spaces.edits import classifier, stem
from search_spaces.torchvision_networks import crop_size, make_classifier, pretrained_state
from search_spaces.trace import Traced, trace
from search_spaces.zoo import AS_TORCHVISION, make_network


def start_weights(base: BaseSpec, network: Architecture, *, allow_code: bool) -> dict[str, Tensor]:
    """Tensors by the names of the built network; those of the classifier only where the classes are as many.

    Weights for colour are summed over the channels where the images are grey. Raises SpecError for a network that no
    weights are known for, and for weights that are of another one.
    """
    assert base.weights is not None
    try:
        traced, state = _loaded(base, network, base.weights, allow_code=allow_code)
        spared = classifier(network).name
        first = stem(network).name
    except NetworkError as error:
        raise SpecError(f"base.weights: {error}") from error
    ours = build(network).state_dict()
    found: dict[str, Tensor] = {}
    for name, source in traced.weights.items():
        tensor = state[source]
        if name == f"{first}.weight" and network.input[0] == 1 < tensor.shape[1]:
            tensor = tensor.sum(1, keepdim=True)
        if name in ours and tensor.numel() == prod(ours[name].shape):
            found[name] = tensor.reshape(ours[name].shape).clone()
        elif not name.startswith(f"{spared}."):
            raise SpecError(
                f"base.weights must be of the network as it is, but they have {source} of shape {tuple(tensor.shape)} "
                f"and the base {tuple(ours[name].shape) if name in ours else 'none'}; leave out width, widths and stem"
            )
    return found


def _loaded(
    base: BaseSpec, network: Architecture, weights: str, *, allow_code: bool
) -> tuple[Traced, dict[str, Tensor]]:
    """The module that the weights are of, as a network, and the weights by the module's names."""
    if base.text.startswith(TORCHVISION) or base.text in AS_TORCHVISION:
        name = base.text.removeprefix(TORCHVISION)
        module, shape = make_classifier(name), (3, crop_size(name), crop_size(name))
        state = pretrained_state(name, weights)
    elif base.text.startswith(MODULE):
        if weights == "torchvision":
            raise NetworkError("torchvision has no weights of a module of your own; give a file")
        module = make_own_module(base.text, allow_code=allow_code)
        shape = network.input  # the base was traced on the data's images
        state = pretrained_state("", weights)
    else:
        raise NetworkError(
            f"weights must be of torchvision:NAME, {', '.join(AS_TORCHVISION)} or a module of your own, "
            f"but the base is {base.text}"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise NetworkError(
            f"weights must be those of {base.text}, but: {' '.join(str(error).split())[:200]}"
        ) from error
    traced = trace(module, shape)
    if base.text in AS_TORCHVISION:  # the same layers in the same order, by other names
        names = build(make_network(base.text)).state_dict()
        traced = replace(traced, weights=dict(zip(names, module.state_dict(), strict=True)))
    return traced, module.state_dict()
