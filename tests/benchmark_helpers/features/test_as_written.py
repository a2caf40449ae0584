"""Networks compute what their code says, whatever a program allows torch."""

import contextlib
import functools
import operator

import numpy as np
import pytest
import torch
from plugin_testing.layer_networks import Own, conv, features_of, sequence
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.features import as_written


@pytest.fixture
def products():
    """What says of each kind of product how many digits it may have; as it was after the test."""
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("before torch 2.9, other settings say so")
    found = [operator.attrgetter(name)(torch.backends) for name in as_written.PRODUCTS]
    before = [one.fp32_precision for one in found]
    yield found
    for one, value in zip(found, before, strict=True):
        one.fp32_precision = value


def test_networks_answer_with_all_digits_whatever_a_program_allows(stimuli, products):
    """Products of three digits are a setting of the program's, and are allowed again behind the network."""
    for one in products:
        one.fp32_precision = "tf32"
    seen = []

    def forward(self, x):
        seen.extend(one.fp32_precision for one in products)
        return self.conv(x)

    features_of(Own(forward, conv=conv), "conv", stimuli)
    assert set(seen) == {"ieee"}
    assert {one.fp32_precision for one in products} == {"tf32"}


def test_all_digits_are_there_until_the_last_thread_is_out(products):
    for one in products:
        one.fp32_precision = "tf32"
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(as_written.AS_WRITTEN)
        second.enter_context(as_written.AS_WRITTEN)
        first.close()
        assert {one.fp32_precision for one in products} == {"ieee"}
    assert {one.fp32_precision for one in products} == {"tf32"}


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_scores_do_not_depend_on_the_precision_of_a_program(stimuli, precision):
    """Of CPUs, those that multiply bfloat16 would answer otherwise."""
    network = Own(lambda self, x: self.linear(x.flatten(1)), linear=functools.partial(nn.Linear, 3 * 32 * 32, 64))
    expected, _ = features_of(network, "linear", stimuli)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found, _ = features_of(network, "linear", stimuli)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("how", ["torch.compile", "compile in place", "of a part"])
def test_a_compiled_network_is_read_as_its_code_says(stimuli, how):
    """Compiled code calls no hooks."""

    def make():
        return sequence(("conv", conv), ("relu", lambda: nn.ReLU(inplace=True)), ("pool", lambda: nn.AvgPool2d(4)))

    expected, _ = features_of(make(), "conv", stimuli)
    network, name, shown = make(), "conv", torch.rand(2, 3, 32, 32)
    if how == "torch.compile":
        network, name = torch.compile(network, backend="eager"), "_orig_mod.conv"
    elif how == "compile in place":
        network.compile(backend="eager")
    else:
        network.conv = torch.compile(network.conv, backend="eager")
    with torch.no_grad():
        before = network(shown)
    found, _ = features_of(network, name, stimuli)
    np.testing.assert_array_equal(found, expected)
    with torch.no_grad():
        assert torch.equal(network(shown), before)
