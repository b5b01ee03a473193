"""From a torch module to a network as data."""

from search_spaces.trace.module import Traced, copy_weights, trace

__all__ = ["Traced", "copy_weights", "trace"]
