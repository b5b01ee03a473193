"""Against torch, and elementwise against one by one."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import formulas

small = st.integers(1, 6)


@settings(max_examples=200)
@given(side=st.integers(1, 40), kernel=small, stride=small, padding=st.integers(0, 5), dilation=st.integers(1, 4))
def test_output_side_is_torchs(side: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    expected = formulas.output_side(side, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    conv = torch.nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    if expected < 1:
        try:
            conv(torch.zeros(1, 1, side, side))
        except RuntimeError:
            return
        raise AssertionError("torch made a map where the formula gives none")
    assert conv(torch.zeros(1, 1, side, side)).shape[2] == expected


@given(d=small, k=small, groups=st.integers(1, 3), kernel=small, bias=st.booleans())
def test_conv_params_are_torchs(d: int, k: int, groups: int, kernel: int, bias: bool) -> None:
    conv = torch.nn.Conv2d(d * groups, k * groups, kernel, groups=groups, bias=bias)
    counted = formulas.conv_params(d * groups, k * groups, window=kernel**2, groups=groups, bias=bias)
    assert counted == sum(parameter.numel() for parameter in conv.parameters())


@given(i=st.integers(1, 50), o=st.integers(1, 50), bias=st.booleans())
def test_linear_params_are_torchs(i: int, o: int, bias: bool) -> None:
    linear = torch.nn.Linear(i, o, bias=bias)
    assert formulas.linear_params(i, o, bias=bias) == sum(parameter.numel() for parameter in linear.parameters())


def test_paper_examples() -> None:
    # Borji, section 2: conv K filters C x C x D with bias has K C^2 D + K parameters; ResNet's stem has 118 M MACs
    assert formulas.conv_params(3, 64, window=49) == 64 * 49 * 3 + 64
    assert formulas.conv_macs(3, 64, window=49, area=112**2) == 118_013_952
    assert formulas.linear_macs(2048, 1000) == 2_048_000
    assert formulas.map_elements(128, 112**2) == 1_605_632


def test_elementwise_on_arrays_of_64_bits() -> None:
    sides = np.array([7, 14, 224], np.int64)
    kernels = np.array([3, 5, 7], np.int64)
    out = formulas.output_side(sides, kernel=kernels, stride=2, padding=1)
    macs = formulas.conv_macs(2048, 2048, window=kernels**2, area=out**2)
    for i, side in enumerate(sides.tolist()):
        one = formulas.output_side(side, kernel=int(kernels[i]), stride=2, padding=1)
        assert out[i] == one
        assert macs[i] == formulas.conv_macs(2048, 2048, window=int(kernels[i]) ** 2, area=one**2)
    assert macs[2] > 2**31
