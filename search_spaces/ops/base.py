"""What all layers share: shapes, sizes, checks."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, TypeAlias

from search_spaces.errors import NetworkError
from search_spaces.formulas import Integers, output_side

Shape: TypeAlias = tuple[Any, ...]
Size: TypeAlias = int | tuple[int, int]  # (height, width); one number where they are equal
LARGEST = 2**24  # of any single number of a layer: no real one comes near, and torch's own limits are far
OPTIONAL = {"optional": True}  # metadata of a field that JSON leaves out at its default: ids stay when one is added


@dataclass(frozen=True, kw_only=True)
class Op(ABC):
    """A layer as a frozen value.

    A shape is a map (channels, height, width) or a vector (features,); after a space-to-batch both begin with the
    number of replicas of the image. Counts take the shapes of what is read and of the output, are for one image, and
    hold for integers, arrays and polynomials alike.
    """

    kind: ClassVar[str]
    inputs: ClassVar[tuple[int, int]] = (1, 1)  # how many nodes it reads, least and most
    in_place: ClassVar[bool] = False  # elementwise, or only moves elements: needs no memory beside its input

    @abstractmethod
    def shape(self, *sources: Shape) -> Shape:
        """Shape of the output; raises NetworkError where there is none."""

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Number of learned values."""
        return 0

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds."""
        return 0

    def flops(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """FLOPs as Borji's eq. (5) counts them: multiply-adds and bias additions."""
        return self.macs(sources, out)

    def reads(self, sources: tuple[Shape, ...]) -> tuple[int, ...]:
        """Which of its inputs it needs the values of; of the others only the shape."""
        return tuple(range(len(sources)))

    def takes_over(self, sources: tuple[Shape, ...]) -> bool:
        """Whether the output can take the place of the first input that it reads."""
        return self.in_place

    def activation(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Elements read and written; what works in place writes nothing beside its input."""
        return sum(prod(source) for source in sources) + (0 if self.in_place else prod(out))


def check_integers(op: Op, **lowest: int) -> None:
    """Raise NetworkError unless each named field is an integer of at least this."""
    for name, low in lowest.items():
        value = getattr(op, name)
        if type(value) is not int or not low <= value <= LARGEST:
            raise NetworkError(
                f"{op.kind}: {name} must be an integer of at least {low}, at most 2^24, but got {value!r}"
            )


def check_sizes(op: Op, **lowest: int) -> None:
    """Raise NetworkError unless each named field is a size of at least this; two equal numbers become one."""
    for name, low in lowest.items():
        value = getattr(op, name)
        sides = tuple(value) if isinstance(value, tuple | list) else (value, value)
        if len(sides) != 2 or any(type(side) is not int or not low <= side <= LARGEST for side in sides):
            raise NetworkError(
                f"{op.kind}: {name} must be an integer of at least {low}, at most 2^24, or two of them "
                f"(height, width), but got {value!r}"
            )
        object.__setattr__(op, name, sides[0] if sides[0] == sides[1] else sides)


def check_share(op: Op, name: str) -> None:
    """Raise NetworkError unless a field is a share below 1."""
    value = getattr(op, name)
    if type(value) is not float or not 0 <= value < 1:
        raise NetworkError(f"{op.kind}: {name} must be a float from 0 to below 1, but got {value!r}")


def check_numbers(op: Op, *names: str) -> None:
    """Raise NetworkError unless each named field is a finite number of at least 0."""
    for name in names:
        value = getattr(op, name)
        if type(value) is not float or not 0 <= value < float("inf"):
            raise NetworkError(f"{op.kind}: {name} must be a float of at least 0, but got {value!r}")


def check_flags(op: Op, *names: str) -> None:
    """Raise NetworkError unless each named field is true or false."""
    for name in names:
        if type(getattr(op, name)) is not bool:
            raise NetworkError(f"{op.kind}: {name} must be true or false, but got {getattr(op, name)!r}")


def check_choice(op: Op, name: str, choices: tuple[str, ...]) -> None:
    """Raise NetworkError unless a field is one of these."""
    if getattr(op, name) not in choices:
        raise NetworkError(f"{op.kind}: {name} must be {_listed(choices)}, but got {getattr(op, name)!r}")


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def pair(size: Size) -> tuple[int, int]:
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else size


def is_map(shape: Shape) -> bool:
    """Whether a shape is a feature map, not a vector."""
    return len(shape) >= 3


def map_shape(op: Op, shape: Shape) -> tuple[Shape, int, int, int]:
    """Replicas (empty or one number), channels, height and width of a map."""
    if not is_map(shape):
        raise NetworkError(f"{op.kind} needs a map (channels, height, width), but gets {shape}")
    *lead, channels, height, width = shape
    return tuple(lead), channels, height, width


def channels_of(shape: Shape) -> Any:
    """Channels of a map, or features of a vector."""
    return shape[-3] if is_map(shape) else shape[-1]


def area_of(shape: Shape) -> Any:
    """Positions at which each channel stands: height times width, times the replicas."""
    return prod((*shape[:-3], *shape[-2:])) if is_map(shape) else prod(shape[:-1])


def window_sides(  # noqa: PLR0913
    op: Op, sides: tuple[int, int], *, kernel: Size, stride: Size, padding: Size, dilation: Size = 1, ceil: bool = False
) -> tuple[int, int]:
    """Height and width after a sliding window; raises NetworkError where it does not fit."""
    axes = zip(sides, pair(kernel), pair(stride), pair(padding), pair(dilation), strict=True)
    height, width = (
        output_side(side, kernel=k, stride=s, padding=p, dilation=d, ceil=ceil) for side, k, s, p, d in axes
    )
    if height < 1 or width < 1:
        raise NetworkError(
            f"{op.kind}: the kernel must fit into the padded input, but kernel {kernel} with padding {padding} gets "
            f"{_sides(sides)}; use a smaller kernel, more padding or a higher resolution"
        )
    return height, width


def _sides(sides: tuple[int, int]) -> str:
    return f"{sides[0]} px" if sides[0] == sides[1] else f"{sides[0]} x {sides[1]} px"
