"""A network under construction."""

from search_spaces.architecture import INPUT, Architecture, Node, check_input
from search_spaces.errors import NetworkError
from search_spaces.ops import Op, Shape, channels_of


class Sketch:
    """Adds layers one by one and knows their shapes; `finish` gives the architecture.

    A layer reads the last one added unless told otherwise. Raises NetworkError for images that cannot be.
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        check_input(input_shape)
        self._input = input_shape
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {INPUT: input_shape}
        self.last = INPUT

    def add(self, name: str, op: Op, *inputs: str) -> str:
        """Its name; raises NetworkError, naming the node, where its shape cannot be."""
        node = Node(name=name, op=op, inputs=inputs or (self.last,))
        try:
            self._shapes[name] = op.shape(*(self._shapes[source] for source in node.inputs))
        except NetworkError as error:
            raise NetworkError(f"node {name!r}: {error}") from error
        self._nodes.append(node)
        self.last = name
        return name

    def shape(self, name: str | None = None) -> Shape:
        """Shape of a layer; of the last one if none is named."""
        return self._shapes[name or self.last]

    def channels(self, name: str | None = None) -> int:
        """Channels or features of a layer."""
        return int(channels_of(self.shape(name)))

    def finish(self, exits: tuple[str, ...] = ()) -> Architecture:
        """The network; the last layer added answers, and before it the exits."""
        return Architecture(input=self._input, nodes=tuple(self._nodes), exits=exits)
