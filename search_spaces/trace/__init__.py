"""From a torch module to a network as data."""

from search_spaces.trace.module import Traced, copy_weights, trace, verify_trace

__all__ = ["Traced", "copy_weights", "trace", "verify_trace"]
