"""From a torch module to a network as data.

The module's forward pass in evaluation mode is followed by torch.fx; every layer becomes an op. What cannot be
represented (attention, control flow on data, shared weights) is an error that names the module's path; nothing is
ever left out. Parameters that evaluation does not use, such as auxiliary heads, are reported by name.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from search_spaces.architecture import INPUT, Architecture
from search_spaces.build import Network
from search_spaces.errors import NetworkError
from search_spaces.trace.calls import FUNCTIONS, METHODS
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
        return _read_graph(module, _follow(module), input_shape)


def _read_graph(module: nn.Module, graph: fx.Graph, input_shape: tuple[int, int, int]) -> Traced:
    _check_layers(module, graph)
    reading = Reading(module, input_shape)
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        path = _path(node)
        try:
            values[node] = _read(reading, node, path, values)
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
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)

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


def _follow(module: nn.Module) -> fx.Graph:
    tracer = _Tracer()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # whatever a user's own forward raises on symbolic values
        where = tracer.failed_at or "the module"
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(
            f"{where}: forward must not branch on data or shapes, nor loop over them, but it raises "
            f"{type(error).__name__}: {reason}"
        ) from error
    graph = fx.GraphModule(module, graph).graph
    drop_dead_code(module, graph)
    return graph


def _check_layers(module: nn.Module, graph: fx.Graph) -> None:
    """Layers first: an unknown one, such as attention, says more than the arithmetic around it."""
    for node in graph.nodes:
        if node.op == "call_module":
            layer = type(module.get_submodule(str(node.target)))
            if layer not in LAYERS:
                raise NetworkError(f"{node.target}: {layer.__name__} is no layer that a network as data can hold")


def _path(node: fx.Node) -> str:
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {"": None}
    return str(next(reversed(stack)))


def _read(reading: Reading, node: fx.Node, path: str, values: Mapping[fx.Node, Any]) -> Any:
    args = fx.node.map_arg(node.args, lambda source: values[source])
    kwargs = fx.node.map_arg(node.kwargs, lambda source: values[source])
    match node.op:
        case "placeholder":
            return reading.image(str(node.target), node.args)
        case "get_attr":
            return Weight.of(reading.module, str(node.target))
        case "output":
            return args[0]
        case "call_module":
            layer = reading.module.get_submodule(str(node.target))
            return reading.layer(LAYERS[type(layer)], layer, path, (*args, *kwargs.values()))
        case "call_function":
            name = ARITHMETIC.get(node.target, getattr(node.target, "__name__", str(node.target)))
            handler = FUNCTIONS.get(node.target)
        case _:
            name = str(node.target)
            handler = METHODS.get(name)
    if handler is None:
        raise NetworkError(f"{name} is no layer that a network as data can hold")
    return reading.call(handler, name, path, args, kwargs)
