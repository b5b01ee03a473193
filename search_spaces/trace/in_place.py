"""Layers that change a tensor in place: whoever reads it later reads the changed one.

torch.fx follows results only. Here arithmetic in place is recorded as such, what works in place is kept where its
tensor is read again, and a change of a tensor of which another view is read later is an error.
"""

import operator
from dataclasses import replace
from typing import Any

from torch import fx, nn

from search_spaces.errors import NetworkError
from search_spaces.trace.values import Parts, Reading, Value

ARITHMETIC: dict[Any, str] = {
    operator.iadd: "add",
    operator.isub: "sub",
    operator.imul: "mul",
    operator.itruediv: "truediv",
}  # and the names of what they do
_VIEWS = {
    "chunk", "contiguous", "expand_as", "flatten", "getitem", "permute", "reshape", "split", "squeeze", "transpose",
    "unsqueeze", "view",
}  # fmt: skip


class Proxy(fx.Proxy):
    """Records `x += y` and the like as a change of x; torch.fx itself takes them for new tensors."""

    def __iadd__(self, other: Any) -> Any:
        return self._changed(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._changed(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._changed(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._changed(operator.itruediv, other)

    def _changed(self, function: Any, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


def works_in_place(module: nn.Module, node: fx.Node) -> bool:
    """Whether a call changes its first input."""
    match node.op:
        case "call_module":
            return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
        case "call_method":
            return str(node.target).endswith("_")
        case "call_function":
            name = getattr(node.target, "__name__", "")
            in_place = name.endswith("_") and not name.startswith("_")
            return node.target in ARITHMETIC or in_place or bool(node.kwargs.get("inplace"))
    return False


def drop_dead_code(module: nn.Module, graph: fx.Graph) -> list[fx.Node]:
    """Remove what the result does not depend on, through results or through changes in place; what was removed."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    memory: dict[fx.Node, list[fx.Node]] = {}  # all that lies where a node does
    for node in graph.nodes:
        shares = node.all_input_nodes and (works_in_place(module, node) or _is_view(module, node))
        memory[node] = memory[node.all_input_nodes[0]] if shares else []
        memory[node].append(node)

    def is_needed(node: fx.Node) -> bool:
        if not works_in_place(module, node):
            return node.is_impure()
        return any(order[user] > order[node] for alias in memory[node] for user in alias.users)

    dropped = []
    for node in reversed(graph.nodes):
        if not node.users and not is_needed(node):
            graph.erase_node(node)
            dropped.append(node)
    return dropped


def _is_view(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), nn.Flatten | nn.Identity)
    return (node.target if node.op == "call_method" else getattr(node.target, "__name__", "")) in _VIEWS


def overwrite(reading: Reading, values: dict[fx.Node, Any], node: fx.Node) -> None:
    """Let those that come later read what a node has made in place of its first input."""
    old, new = values[node.all_input_nodes[0]], values[node]
    if not isinstance(old, Value) or not isinstance(new, Value) or old.name == new.name:
        return
    for earlier, value in list(values.items()):
        held = value.value if isinstance(value, Parts) else value
        if not isinstance(held, Value) or held.name == new.name:
            continue
        if held.name == old.name:
            changed = replace(held, name=new.name)
            values[earlier] = replace(value, value=changed) if isinstance(value, Parts) else changed
        elif reading.memory(held.name) == reading.memory(old.name) and any(
            user not in values for user in earlier.users
        ):
            raise NetworkError("a tensor of which another view is read later must not be changed in place")
