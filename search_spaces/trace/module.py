"""From a torch module to a network as data.

The module's forward pass in evaluation mode is followed by torch.fx; every layer becomes an op. What cannot be
represented (attention, control flow on data, shared weights) is an error that names the module's path; nothing is
ever left out. Parameters that evaluation does not use, such as auxiliary heads, are reported by name.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from search_spaces.architecture import INPUT, Architecture
from search_spaces.build import Network, build
from search_spaces.errors import NetworkError
from search_spaces.trace.calls import FUNCTIONS, FUNCTIONS_BY_NAME, METHODS
from search_spaces.trace.in_place import ARITHMETIC, Proxy, drop_dead_code, overwrite, works_in_place
from search_spaces.trace.layers import LAYERS
from search_spaces.trace.values import Reading, Value, Weight


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A network, where its weights lie in the module, and the parameters that evaluation leaves unused.

    `weights` maps our names (`conv1.weight`) to the module's (`features.0.weight`).
    """

    architecture: Architecture
    weights: Mapping[str, str]
    unused: Mapping[str, int]


def trace(module: nn.Module, input_shape: tuple[int, int, int]) -> Traced:
    """The network that a module computes on images (channels, height, width) in evaluation mode.

    Raises NetworkError, naming the module's path, for what cannot be represented. The module is not changed.
    """
    with _unchanged(module):
        module.eval()
        root = _OneInput(module)
        return _read_graph(root, _follow(root), input_shape)


class _OneInput(nn.Module):
    """The module called with images alone, so that what else forward takes has its defaults while it is followed."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Any) -> Any:
        """What the module gives."""
        return self.inner(images)


def _own_path(target: str) -> str:
    """A path within the user's module."""
    return target.removeprefix("inner").removeprefix(".")


def _read_graph(module: _OneInput, graph: fx.Graph, input_shape: tuple[int, int, int]) -> Traced:
    _check_layers(module, graph)
    reading = Reading(module.inner, input_shape)
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        path = _path(node)
        try:
            values[node] = _read(reading, module, node, path, values)
            if works_in_place(module, node):
                overwrite(reading, values, node)
        except NetworkError as error:
            raise NetworkError(f"{path or 'the module'}: {error}") from error
    (result,) = (values[node] for node in graph.nodes if node.op == "output")
    if not isinstance(result, Value) or not result.is_plain or result.name == INPUT:
        raise NetworkError("the module must return one tensor of its layers' results, but returns something else")
    if result.name != reading.sketch.last:
        raise NetworkError(f"the module must return its last layer, but {reading.sketch.last!r} comes after")
    return Traced(architecture=reading.sketch.finish(), weights=dict(reading.weights), unused=reading.unused())


def copy_weights(traced: Traced, module: nn.Module, network: Network) -> None:
    """Give a network built from `traced.architecture` the module's weights and statistics."""
    state = module.state_dict()
    ours = network.state_dict()
    network.load_state_dict({name: state[source].reshape(ours[name].shape) for name, source in traced.weights.items()})


def verify_trace(traced: Traced, module: nn.Module) -> None:
    """Raise NetworkError where the traced network does not give the module's scores on noise, to 1e-3 of their spread.

    A module whose forward says one thing and does another, as through a view that was misread, does not get through.
    """
    network = build(traced.architecture)
    copy_weights(traced, module, network)
    images = torch.rand(2, *traced.architecture.input, generator=torch.Generator().manual_seed(0))
    with _unchanged(module), torch.no_grad():
        module.eval()
        theirs, ours = module(images), network.eval()(images)
    spread = max(float(theirs.std()), 1e-6)
    if theirs.shape != ours.shape or not torch.allclose(theirs, ours, rtol=1e-3, atol=1e-3 * spread):
        raise NetworkError(
            "the network as data must give the module's own scores, but does not: forward holds something that was "
            "misread; write it with layers of torch.nn"
        )


@contextmanager
def _unchanged(module: nn.Module) -> Iterator[None]:
    """Puts modes back, and takes away the attributes in which torch.fx keeps constants that forward makes."""
    modes = {child: child.training for child in module.modules()}
    names = set(vars(module))
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training
        for name in set(vars(module)) - names:
            delattr(module, name)


class _Tracer(fx.Tracer):
    """Remembers in which module tracing failed, and stops at the layers that we know."""

    failed_at: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return known_layer(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Proxy(node, self)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed_at = self.failed_at or self.path_of_module(m)
            raise


def known_layer(layer: nn.Module) -> type[nn.Module] | None:
    """The layer that we know which this one is, or of which it is a subclass with the same forward."""
    for kind in type(layer).__mro__:
        if kind in LAYERS:
            return kind if type(layer).forward is kind.forward else None
    return None


def _follow(module: _OneInput) -> fx.Graph:
    tracer = _Tracer()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # whatever a user's own forward raises on symbolic values
        where = _own_path(tracer.failed_at or "") or "the module"
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, TypeError) and "required positional argument" in reason:
            raise NetworkError(f"{where}: forward must take one tensor, the images, but: {reason}") from error
        raise NetworkError(
            f"{where}: forward must not branch on data or shapes, nor loop over them, but it raises "
            f"{type(error).__name__}: {reason}"
        ) from error
    graph = fx.GraphModule(module, graph).graph
    for node in drop_dead_code(module, graph):
        if node.op == "call_module" and list(module.get_submodule(str(node.target)).parameters()):
            raise NetworkError(f"{_path(node)}: every layer that runs must be used, but the result of this one is not")
    return graph


def _check_layers(module: _OneInput, graph: fx.Graph) -> None:
    """Layers first: an unknown one, such as attention, says more than the arithmetic around it."""
    for name, layer in module.inner.named_modules():
        if layer._forward_hooks or layer._forward_pre_hooks:
            raise NetworkError(f"{name or 'the module'}: hooks and weights made by them cannot be held; remove them")
    for node in graph.nodes:
        if node.op == "call_module":
            layer = module.get_submodule(str(node.target))
            if known_layer(layer) is None:
                raise NetworkError(
                    f"{_path(node) or 'the module'}: {type(layer).__name__} is no layer that a network as data can hold"
                )
            own = {name for name, parameter in layer.named_parameters() if parameter is not None}
            if not own <= {"weight", "bias"}:
                raise NetworkError(f"{_path(node)}: weights must be held as they are, but {', '.join(own)} make them")


def _path(node: fx.Node) -> str:
    if node.op in ("call_module", "get_attr"):
        return _own_path(str(node.target))
    stack = node.meta.get("nn_module_stack") or {"": None}
    return _own_path(str(next(reversed(stack))))


def _read(reading: Reading, module: _OneInput, node: fx.Node, path: str, values: Mapping[fx.Node, Any]) -> Any:
    args = fx.node.map_arg(node.args, lambda source: values[source])
    kwargs = fx.node.map_arg(node.kwargs, lambda source: values[source])
    match node.op:
        case "placeholder":
            return Value(name=INPUT)
        case "get_attr":
            return replace(Weight.of(module, str(node.target)), path=path)
        case "output":
            return args[0]
        case "call_module":
            layer = module.get_submodule(str(node.target))
            kind = known_layer(layer)
            assert kind is not None
            return reading.layer(LAYERS[kind], layer, path, (*args, *kwargs.values()))
        case "call_function":
            name = ARITHMETIC.get(node.target, getattr(node.target, "__name__", str(node.target)))
            full_name = f"{getattr(node.target, '__module__', '')}.{name}"
            handler = FUNCTIONS.get(node.target) or FUNCTIONS_BY_NAME.get(full_name)
        case _:
            name = str(node.target)
            handler = METHODS.get(name)
    if handler is None:
        raise NetworkError(f"{name} is no layer that a network as data can hold")
    return reading.call(handler, name, path, args, kwargs)
