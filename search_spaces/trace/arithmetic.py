"""Sums and products: of two tensors, of a tensor and a constant or learned factor, of numbers."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from search_spaces import ops
from search_spaces.errors import NetworkError
from search_spaces.ops import is_map
from search_spaces.trace.values import BATCH, EXPANDED, PLAIN, OneChannel, Reading, Side, Value, Weight

Handler = Callable[..., Any]


def arithmetic(function: Callable[[Any, Any], Any]) -> Handler:
    """The handler of a binary operator: of numbers at once, of tensors as a layer."""

    def handler(reading: Reading, first: Any, second: Any) -> Any:
        pair = (first, second)
        if BATCH in pair:
            raise NetworkError("the batch size must not be computed with")
        if not any(isinstance(operand, Value | Weight) for operand in pair):
            result = function(first, second)
            return Side(result) if any(isinstance(operand, Side) for operand in pair) else result
        if isinstance(first, Value) and isinstance(second, Value):
            return _combine(reading, function, first, second)
        if isinstance(second, Value) and function in (operator.add, operator.mul):
            first, second = second, first
        if not isinstance(first, Value):
            raise NetworkError(f"{function.__name__} must be of a tensor and a number, in this order")
        return _with_constant(reading, function, first, second)

    return handler


def _combine(reading: Reading, function: Callable[[Any, Any], Any], first: Value, second: Value) -> Value:
    if function is operator.add:
        return reading.add_elementwise(ops.Add(), first, second)
    if function is not operator.mul:
        raise NetworkError(f"two tensors must be added or multiplied, but {function.__name__} is asked for")
    first, second = (replace(value, layout=PLAIN) if value.layout == EXPANDED else value for value in (first, second))
    sizes = [reading.shape(value) for value in (first, second)]
    if sizes[0] != sizes[1] and is_map(sizes[0]) and sizes[0][1:] == (1, 1):
        first, second = second, first
    return reading.add_elementwise(ops.Multiply(), first, second)


def _with_constant(reading: Reading, function: Callable[[Any, Any], Any], value: Value, other: Any) -> Value:
    if isinstance(other, Weight) and other.learned:
        if function is not operator.mul:
            raise NetworkError(f"{other.path} must be a factor, but {function.__name__} is asked for")
        return reading.scale(value, other)
    if function is operator.floordiv:
        raise NetworkError("a tensor must be divided by / to be held, but // is asked for")
    constants = _constants(reading, value, other)
    identity = 0.0 if function in (operator.add, operator.sub) else 1.0
    changed = [float(function(identity, constant)) for constant in constants]
    scales = identity == 1.0
    if isinstance(value.layout, OneChannel):
        factor, offset = value.layout.factor, value.layout.offset
        (number,) = changed
        layout = replace(
            value.layout,
            factor=factor * number if scales else factor,
            offset=offset * number if scales else offset + number,
        )
        return replace(value, layout=layout)
    nothing = (0.0,) * len(changed) if scales else (1.0,) * len(changed)
    factors, offsets = (tuple(changed), nothing) if scales else (nothing, tuple(changed))
    return reading.add_elementwise(ops.Affine(factors=factors, offsets=offsets), value)


def _constants(reading: Reading, value: Value, other: Any) -> list[float]:
    if not isinstance(other, Weight):
        return [float(other)]
    if other.tensor.numel() > 1 and not reading.is_per_channel(value, other):
        raise NetworkError(f"{other.path} must hold one number a channel, but has shape {tuple(other.tensor.shape)}")
    return [float(number) for number in other.tensor.flatten().tolist()]
