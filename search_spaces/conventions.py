"""The totals that common counters report for a network, as formulas of its shapes.

Counters disagree on what an operation is: some count biases, norms, pools and activations beside the multiply-adds,
one counts twice what it sees twice, one counts 2 a multiply-add. `count_total` gives what each of these reports for
the module that `build` makes, in eval mode, for one image; the tests compare with the tools themselves.

- nas: multiply-adds of convs and linear layers (`Cost.macs`)
- fvcore 0.1.5: `FlopCountAnalysis(module, x).total()`
- ptflops 0.7.5: `get_model_complexity_info(module, shape)[0]` with its default backend, "pytorch"; its other one,
  "aten", counts multiply-adds and biases, as `Cost.flops` does
- thop 0.1.1: `profile(module, (x,))[0]`, a float, but integral
- torchinfo 1.8: `summary(module, input_data=x).total_mult_adds`
- torch 2.14: `torch.utils.flop_counter.FlopCounterMode`, `get_total_flops()`

ptflops and thop go by classes of modules, torchinfo by names of parameters: a module of another form that computes the
same may get another count.
ptflops and thop add up in floats, so beyond 2^53 they round and these totals do not. Every table names every kind of
layer, also those that the tool passes over: a layer without a rule is an error, never a zero.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeAlias

from search_spaces.architecture import Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.ops import BatchNorm, Shape, Shortcut, channels_of, is_map

Rule: TypeAlias = Callable[[Any, tuple[Shape, ...], Shape], int]  # of a layer, the shapes it reads, its output's
Table: TypeAlias = Mapping[str, Rule | Mapping[str, Rule]]  # by the kind of layer, or by that and its function


def count_total(architecture: Architecture, convention: str) -> int:
    """What the tool reports; raises NetworkError for an unknown tool, or a layer that it has no rule for."""
    if convention not in TABLES:
        raise NetworkError(f"convention must be one of {', '.join(CONVENTIONS)}, but got {convention!r}")
    nodes = _nodes_alive(architecture) if convention in TRACED else architecture.nodes
    return sum(_count_node(architecture, node, convention) for node in nodes)


def _count_node(architecture: Architecture, node: Node, convention: str) -> int:
    rule = TABLES[convention].get(node.op.kind)
    function = getattr(node.op, "function", "")
    if isinstance(rule, Mapping):
        rule = rule.get(function)
    if rule is None:
        raise NetworkError(
            f"node {node.name!r}: {convention} must have a rule for every kind of layer, but has none for "
            f"{f'{node.op.kind} {function}'.strip()!r}; add one to search_spaces.conventions"
        )
    return rule(node.op, architecture.source_shapes(node), architecture.shapes[node.name])


def _nodes_alive(architecture: Architecture) -> list[Node]:
    """Nodes whose values reach the output: a shortcut uses one of the three that it reads."""
    used = {architecture.nodes[-1].name}
    alive = []
    for node in reversed(architecture.nodes):
        if node.name in used:
            alive.append(node)
            used.update(architecture.reads(node))
    return alive


# --- rules


def _zero(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    return 0


def _macs(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    return int(op.macs(sources, out))


def _two_per_mac(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    return 2 * _macs(op, sources, out)


def _macs_and_bias(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    return int(op.flops(sources, out))


def _params_per_replica(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    """Parameters times the batch size that the layer sees, whatever the sides."""
    replicas = prod(out[:-3] if is_map(out) else out[:-1])
    return int(replicas * op.params(sources, out))


def _read(times: int) -> Rule:
    """So many for each element read."""
    return lambda op, sources, out: times * prod(sources[0])


def _written(times: int) -> Rule:
    """So many for each element of the output."""
    return lambda op, sources, out: times * prod(out)


def _norm(*, affine: int, plain: int) -> Rule:
    """So many for each element, with and without learned scales."""
    return lambda op, sources, out: (affine if op.affine else plain) * prod(out)


def _shortcut(norm: Rule) -> Rule:
    """Multiply-adds of the conv where there is one, and its norm by the rule of batch norms."""

    def rule(op: Shortcut, sources: tuple[Shape, ...], out: Shape) -> int:
        normed = op.norm and op.projects(sources)
        return _macs(op, sources, out) + (norm(BatchNorm(), (out,), out) if normed else 0)

    return rule


def _thop_softmax(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    """At each position an exponential and a division a channel, and C - 1 additions."""
    channels = channels_of(out)
    return int(prod(out) // channels * (3 * channels - 1))


def _thop_adaptive(op: Any, sources: tuple[Shape, ...], out: Shape) -> int:
    """Each output element adds up h/h' w/w' elements and divides once.

    In floats and cut off, as thop does it: where h' does not divide h, that can be one less than C (h w + h' w').
    """
    (height, width), (rows, columns) = sources[0][-2:], out[-2:]
    return int((height / rows * (width / columns) + 1) * prod(out))


def _each(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


# --- tables

WEIGHTED = ("conv", "depthwise", "expand", "linear")
MOVES = (  # data moves, or nothing happens outside training
    "batch_to_space", "channel_shuffle", "chunk", "concat", "dropout", "flatten", "pad", "select", "space_to_batch",
    "space_to_depth", "stochastic_depth", "unflatten",
)  # fmt: skip
SUMS = ("add", "affine", "mean_replicas", "multiply")  # Python's operators and a mean: no tool counts them either
NOT_MACS = (
    "activation", "adaptive_pool", "batch_norm", "group_norm", "layer_norm", "layer_scale", "pool", "prelu", "resize",
    "upsample", *SUMS, *MOVES,
)  # fmt: skip
UNSEEN = ("mish", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "tanh", "softplus", "log_softmax")

NAS: Table = _each(_macs, *WEIGHTED, "shortcut") | _each(_zero, *NOT_MACS)
TORCH: Table = _each(_two_per_mac, *WEIGHTED, "shortcut") | _each(_zero, *NOT_MACS)

FVCORE_RESAMPLING = {"nearest": _written(1), "bilinear": _written(4)}
FVCORE: Table = {
    **_each(_macs, *WEIGHTED),
    "shortcut": _shortcut(_norm(affine=2, plain=1)),
    "batch_norm": _norm(affine=2, plain=1),
    **_each(_norm(affine=5, plain=4), "group_norm", "layer_norm"),
    "adaptive_pool": {"average": _read(1), "max": _zero},
    "resize": FVCORE_RESAMPLING,
    "upsample": {**FVCORE_RESAMPLING, "zeros": _zero},
    **_each(_zero, "activation", "layer_scale", "pool", "prelu", *SUMS, *MOVES),
}

# Activations and pools have a hook on the module and one on the function that it calls: with both they count twice.
# Hooks go by exact class, and the layer norm over channels is a subclass.
PTFLOPS: Table = {
    **_each(_macs_and_bias, *WEIGHTED),
    "shortcut": _shortcut(_norm(affine=2, plain=1)),
    **_each(_norm(affine=2, plain=1), "batch_norm", "group_norm"),
    "activation": {
        **_each(_written(2), "relu", "elu", "gelu", "gelu_tanh"),
        **_each(_written(1), "relu6", "leaky_relu", "silu", "softmax"),
        **_each(_zero, *UNSEEN),
    },
    "prelu": _written(2),
    **_each(_read(2), "pool", "adaptive_pool"),
    "resize": _written(1),
    "upsample": {"nearest": _written(1), "bilinear": _written(1), "zeros": _zero},
    **_each(_zero, "layer_norm", "layer_scale", *SUMS, *MOVES),
}

# Hooks go by exact class here too, and there are none for group norms and for interpolation as a function.
THOP: Table = {
    **_each(_macs, *WEIGHTED),
    "shortcut": _shortcut(_norm(affine=4, plain=2)),
    "batch_norm": _norm(affine=4, plain=2),
    "activation": {
        "softmax": _thop_softmax,
        **_each(_zero, "relu", "relu6", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", *UNSEEN),
    },
    "prelu": _written(1),
    "pool": {"average": _written(1), "max": _zero},
    "adaptive_pool": {"average": _thop_adaptive, "max": _zero},
    **_each(_zero, "group_norm", "layer_norm", "layer_scale", "resize", "upsample", *SUMS, *MOVES),
}

# Every parameter of a conv once for each position of its output, every other one once for each image of the batch.
TORCHINFO: Table = {
    **_each(_macs_and_bias, *WEIGHTED),
    "shortcut": _shortcut(_params_per_replica),
    **_each(_params_per_replica, "batch_norm", "group_norm", "layer_norm", "layer_scale", "prelu"),
    **_each(_zero, "activation", "adaptive_pool", "pool", "resize", "upsample", *SUMS, *MOVES),
}

TABLES: Mapping[str, Table] = {
    "nas": NAS,
    "fvcore": FVCORE,
    "ptflops": PTFLOPS,
    "thop": THOP,
    "torchinfo": TORCHINFO,
    "torch": TORCH,
}
CONVENTIONS: tuple[str, ...] = tuple(TABLES)
TRACED = ("fvcore",)  # these see a trace, which holds only what makes the output; the others see whatever runs
