"""A network as the source of a torch module: a class with a layer for each node, and a line for each in its forward.

Its state dict has the names of `build`'s. Lines are as ruff formats them, at most 120 letters long.
"""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from keyword import iskeyword
from textwrap import wrap

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.build import Place
from search_spaces.exits import segments
from search_spaces.layer_code import Call, Layer, layer_code
from search_spaces.names import unused_name
from search_spaces.ops import Shape, is_map

_LINE = 120 - 8  # letters of a statement in a method
_VARIABLES = ("x", "y", "z", "u", "v", "w")  # further ones are x7, x8, ...


@dataclass(frozen=True, kw_only=True)
class ClassCode:
    """The source of a class, of the classes that it needs, and the names of its methods that compute an exit each."""

    text: str
    needs: tuple[str, ...]
    methods: tuple[str, ...] = ()


def network_class(architecture: Architecture, name: str, docstring: str, *, first: str) -> ClassCode:
    """A class whose `forward` gives class scores [N, classes] of `images`; `docstring` is one line.

    `first` is the expression that makes the network's input of them. Of a network with exits a method `exits` gives the
    scores of all. Nodes must have names that `build` takes.
    """
    writer = _Writer(architecture)
    images = f"images uint8 [N, {architecture.input[0]}, H, W] of any side"
    several = bool(architecture.exits)
    writer.begin((INPUT,))
    body = [*statement("x = ", first, _shape(architecture.input))]
    body += writer.lines(chain(*segments(architecture)), keep=architecture.answers)
    answers = [writer.variable(answer) for answer in architecture.answers]
    if not several:
        method = _method("forward", ("images",), "Tensor", f"Class scores {writer.classes} of {images}.")
        return writer.write(name, docstring, [[*method, *_indented([*body, f"return {answers[0]}"])]])
    last = _method("forward", ("images",), "Tensor", f"Class scores {writer.classes} of the last exit, of {images}.")
    every = _method("exits", ("images",), "list[Tensor]", f"Class scores {writer.classes} of every exit.")
    methods = [
        [*last, "    return self.exits(images)[-1]"],
        [
            *every,
            *_indented(
                [*body, *statement("return ", Call(function="", arguments=tuple(answers), brackets=("[", "]")))]
            ),
        ],
    ]
    return writer.write(name, docstring, methods)


def segmented_class(architecture: Architecture, name: str, docstring: str) -> ClassCode:
    """A class with a method for each exit: class scores [N, classes], and a list of what the next one reads.

    The first reads the network's input, float32 [N, C, side, side].
    """
    writer = _Writer(architecture)
    used = {node.name for node in architecture.nodes}
    names = [unused_name(used, f"exit_{number}") for number in range(1, len(architecture.answers) + 1)]
    parts = segments(architecture)
    alive: tuple[str, ...] = (INPUT,)
    methods = []
    for number, (part, answer) in enumerate(zip(parts, architecture.answers, strict=True)):
        parameters = writer.begin(alive)
        body = [*writer.lines(part, keep=(answer,))]
        alive = writer.alive(chain(*parts[number + 1 :]))
        left = Call(function="", arguments=tuple(map(writer.variable, alive)), brackets=("[", "]"))
        body += [*statement("left = ", left), f"return {writer.variable(answer)}, left"]
        says = (
            f"Class scores {writer.classes}, and what {names[number + 1]} reads."
            if alive
            else (f"Class scores {writer.classes}, and nothing more.")
        )
        methods.append([*_method(names[number], parameters, "tuple[Tensor, list[Tensor]]", says), *_indented(body)])
    return writer.write(name, docstring, methods, tuple(names))


@dataclass
class _Writer:
    """Writes one network; knows which variable holds which value behind the line that it has written."""

    architecture: Architecture
    _held: dict[str, str] = field(default_factory=dict)  # value to variable

    def __post_init__(self) -> None:
        self._layers = {node.name: self._layer(node) for node in self.architecture.nodes}
        self._same: dict[str, str] = {}  # of a node that hands on another's value, that one
        for node in self.architecture.nodes:
            if self._layers[node.name] == Layer():
                self._same[node.name] = self._value(self.architecture.reads(node)[0])
        ordered = chain(*segments(self.architecture))
        self._last = {value: node.name for node in ordered for value in self._reads(node)}

    @property
    def classes(self) -> str:
        """Shape of class scores."""
        return _shape(self.architecture.output)

    def variable(self, value: str) -> str:
        """The variable that holds a value."""
        return self._held[self._value(value)]

    def alive(self, later: Iterable[Node]) -> tuple[str, ...]:
        """The values that are held and that later nodes read."""
        read = dict.fromkeys(value for node in later for value in self._reads(node))
        return tuple(value for value in read if value in self._held)

    def begin(self, values: Iterable[str]) -> list[str]:
        """A new method, which is given these values; the names of its parameters."""
        self._held = {}
        for value in values:
            self._held[value] = self._free()
        return list(self._held.values())

    def lines(self, nodes: Iterable[Node], *, keep: Sequence[str]) -> Iterator[str]:
        """A statement for each node; values in `keep` are held to the end."""
        kept = {self._value(name) for name in keep}
        for node in nodes:
            if node.name in self._same:
                continue
            reads = self._reads(node)
            expression = self._expression(node, [self._held[value] for value in reads])
            for value in set(reads) - kept:
                if self._last[value] == node.name:
                    del self._held[value]
            target = "_"  # of what a shortcut reads for its shape alone
            if node.name in self._last or node.name in kept:
                target = self._held[node.name] = self._free()
            yield from statement(f"{target} = ", expression, _shape(self.architecture.shapes[node.name]))

    def write(
        self, name: str, docstring: str, methods: Sequence[Sequence[str]], exits: tuple[str, ...] = ()
    ) -> ClassCode:
        """The class of these methods."""
        made = {name: layer.made for name, layer in self._layers.items() if layer.made is not None}
        body = ["def __init__(self) -> None:", "    super().__init__()"]
        body += _indented(line for name, call in made.items() for line in _assigned(name, call))
        for method in methods:
            body += ["", *method]
        copied = {call.copied for call in made.values() if call.copied is not None}
        return ClassCode(
            text="\n".join((f"class {name}(nn.Module):", f'    """{docstring}"""', "", *_indented(body))),
            needs=tuple(sorted(inspect.getsource(one).rstrip() for one in copied)),
            methods=exits,
        )

    def _layer(self, node: Node) -> Layer:
        sources = self.architecture.source_shapes(node)
        return layer_code(node.op, Place.of(node.op, sources, self.architecture.shapes[node.name]))

    def _value(self, name: str) -> str:
        return self._same.get(name, name)

    def _reads(self, node: Node) -> tuple[str, ...]:
        if node.name in self._same:
            return ()
        return tuple(self._value(name) for name in self.architecture.reads(node))

    def _expression(self, node: Node, names: Sequence[str]) -> str | Call:
        layer = self._layers[node.name]
        if layer.computed is not None:
            return layer.computed(names)
        own = f"self.{node.name}" if _is_plain(node.name) else f'self.get_submodule("{node.name}")'
        return Call(function=own, arguments=tuple(names))

    def _free(self) -> str:
        taken = set(self._held.values())
        further = (f"x{number}" for number in range(len(_VARIABLES) + 1, len(_VARIABLES) + len(taken) + 2))
        return next(name for name in (*_VARIABLES, *further) if name not in taken)


def _is_plain(name: str) -> bool:
    """Whether `self.name` in a class is the attribute of this name."""
    return not iskeyword(name) and (not name.startswith("__") or name.endswith("__"))


def _assigned(name: str, call: Call) -> Iterator[str]:
    if _is_plain(name):
        return statement(f"self.{name} = ", call)
    return statement("", Call(function="self.add_module", arguments=(f'"{name}"', str(call))))


def _method(name: str, parameters: Sequence[str], result: str, docstring: str) -> list[str]:
    """The head of a method of tensors."""
    given = ["self", *(f"{parameter}: Tensor" for parameter in parameters)]
    head = [f"def {name}({', '.join(given)}) -> {result}:"]
    if len(head[0]) > _LINE + 4:
        one = f"    {', '.join(given)}"
        head = [
            f"def {name}(",
            *([one] if len(one) <= _LINE + 4 else [f"    {each}," for each in given]),
            f") -> {result}:",
        ]
    return [*head, f'    """{docstring}"""']


def statement(start: str, value: str | Call, comment: str = "") -> Iterator[str]:
    """One statement of a method: `start` and the value, in as many lines as it needs, a comment behind or before it."""
    line = f"{start}{value}"
    noted = f"{line}  # {comment}"
    if comment and len(noted) > _LINE:
        yield f"# {comment}"
    elif comment:
        line = noted
    if len(line) <= _LINE:
        yield line
        return
    if isinstance(value, str):
        value = Call(function="", arguments=(value,))
    opening, closing = value.brackets
    inner = ", ".join(value.arguments)
    fits = value.function and len(inner) <= _LINE - 4
    yield f"{start}{value.function}{opening}"
    yield from _indented([inner] if fits else wrap(inner, _LINE - 4, break_long_words=False, break_on_hyphens=False))
    yield closing if fits else f"{closing}  # fmt: skip"


def _shape(shape: Shape) -> str:
    """A shape with the batch: [N, C, H, W], or [4N, C, H, W] with four replicas of each image."""
    replicas = len(shape) > (3 if is_map(shape) else 1)
    lead = f"{shape[0]}N" if replicas else "N"
    return f"[{', '.join([lead, *map(str, shape[1:] if replicas else shape)])}]"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]
