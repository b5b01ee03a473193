"""What `nas init` says of each method, and writes of it: the keys that one would change first."""

from collections.abc import Mapping, Sequence
from typing import Any

PHRASES = {
    "compensation": "first layers that look at more pixels at equal cost; needs a resolution below the images'",
    "neuralscale": "learns by pruning how wide each layer should be; takes longest",
    "uniform": "all widths times one factor; the baseline",
    "morphnet": "prunes once, then all widths times one factor",
    "magnitude": "trains the base, keeps its largest filters, fine-tunes; needs a budget below the base",
    "convcut": "as uniform, with a 1x1 conv in every shortcut",
    "multipliers": "plain multipliers of width and resolution",
    "compound": "EfficientNet's: depth, width and resolution together",
    "feeding": "the base with smaller images, upsampled, folded or with fewer strides",
    "dilated": "the base with its depthwise convs dilated",
    "parallel": "an isometric base on larger images, part by part; needs a resolution below the images'",
    "isometric": "other networks, of one internal resolution throughout",
    "msnet": "the base at half the resolution first, at the whole one where that is not sure",
    "cascade": "small resolutions first, larger ones for what these are not sure of",
}


def method_keys(name: str, resolution: int) -> dict[str, Any]:
    """The entry of a method in the spec, for a base at this resolution."""
    keys: Mapping[str, Mapping[str, Any]] = {
        "compensation": {"approaches": ["IV"], "tolerance": 0.05},
        "neuralscale": {"shares": [1.0], "iterations": 3},
        "uniform": {"shares": [0.5, 1.0]},
        "morphnet": {"shares": [1.0]},
        "magnitude": {"shares": [0.5, 1.0]},
        "convcut": {"shares": [0.5, 1.0]},
        "multipliers": {"width": [0.5, 0.75, 1.0], "resolution": [0.75, 1.0]},
        "compound": {"shares": [0.5, 1.0]},
        "isometric": {"depth": [4, 8, 16], "multiplier": [0.25, 0.5, 1.0]},
        "msnet": {"shares": [0.5, 1.0]},
        "cascade": {"shares": [0.5, 1.0], "resolutions": sorted({max(1, resolution // 2), resolution})},
    }
    return {"name": name, **keys.get(name, {})}


def method_sections(names: Sequence[str]) -> dict[str, Any]:
    """Sections of the spec that go with methods: prunings by larger steps than a publication would take."""
    return {"prune": {"channels": 0.05}} if {"neuralscale", "morphnet"} & set(names) else {}


def sensible_methods(resolution: int, side: int) -> Sequence[Sequence[str]]:
    """Lists of methods, the first of which that a base and a budget allow is the one to propose."""
    more_pixels = [["compensation"]] if resolution < side else []
    return [*more_pixels, ["neuralscale", "uniform"], ["uniform"], ["multipliers"], ["isometric"]]
