"""Widths up and down: the networks build and run; impossible widths are one clear line."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import INPUT, Architecture, NetworkError, count_cost
from search_spaces.build import build
from search_spaces.ops import ChannelShuffle, Conv, Depthwise, Flatten, Linear
from search_spaces.sketch import Sketch
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks


def grouped() -> Architecture:
    """Two widths: `wide` a multiple of four (its convs' groups), `hidden` any."""
    sketch = Sketch((3, 6, 6))
    sketch.add("wide", Conv(out_channels=16, kernel=3))
    sketch.add("shuffle", ChannelShuffle(groups=2))
    sketch.add("dw", Depthwise(kernel=3))
    sketch.add("flatten", Flatten())
    sketch.add("hidden", Linear(out_features=10))
    sketch.add("last", Linear(out_features=2))
    return sketch.finish()


def fourfold() -> Architecture:
    sketch = Sketch((3, 6, 6))
    sketch.add("wide", Conv(out_channels=16, kernel=3), INPUT)
    sketch.add("parted", Conv(out_channels=10, kernel=3, groups=2))
    sketch.add("also", Conv(out_channels=8, kernel=1, groups=4), "wide")
    sketch.add("flat1", Flatten(), "parted")
    sketch.add("hidden", Linear(out_features=9))
    sketch.add("flat2", Flatten(), "also")
    return Architecture(input=(3, 6, 6), nodes=sketch.finish().nodes)
