"""The dtype of products, on devices with and without fast bfloat16 products."""

import pytest
import torch

from relational_rnn.ops import precision
from relational_rnn.ops.linear_cross_entropy import linear_cross_entropy
from relational_rnn.ops.relational_memory.hoist import dtypes


@pytest.fixture(params=[True, False], ids=["bfloat16", "no bfloat16"])
def good(request, monkeypatch):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: request.param)
    return request.param


def test_autocast_is_on_where_it_helps(good):
    for low in (True, False):
        with precision.autocast("cpu", low=low):
            assert torch.is_autocast_enabled("cpu") is (low and good)


def test_dtype_of_products(good):
    expected = torch.bfloat16 if good else torch.float32
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        tensor = torch.zeros(2, dtype=dtype)
        own = expected if dtype == torch.bfloat16 else dtype
        assert precision.product_dtype(tensor) == own
        with torch.autocast("cpu", torch.bfloat16):
            lowered = dtype if dtype == torch.float64 else expected
            assert precision.product_dtype(tensor) == lowered
    with torch.autocast("cpu", torch.float16):
        assert precision.product_dtype(torch.zeros(2)) == torch.float16


def test_the_memory_does_not_follow_the_products(good):
    inputs = torch.zeros(2)
    with torch.autocast("cpu", torch.bfloat16):
        products, rest = dtypes(inputs, inputs)
    assert (products == torch.bfloat16) is good
    assert rest == torch.float32
    assert dtypes(inputs, inputs.double()) == (torch.float32, torch.float64)


def test_a_loss_under_autocast_is_as_good_as_float32_without_bfloat16(monkeypatch):
    torch.manual_seed(1)
    hidden, weight, targets = torch.randn(9, 16), torch.randn(50, 16), torch.arange(9)
    exact = linear_cross_entropy(hidden, weight, None, targets)

    def lowered():
        with torch.autocast("cpu", torch.bfloat16):
            return linear_cross_entropy(hidden, weight, None, targets)

    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)
    assert lowered() != exact
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: False)
    assert lowered() == exact


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_of_a_loss_under_autocast_are_float32_without_bfloat16(monkeypatch, reduction):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: False)
    torch.manual_seed(1)
    inputs = [torch.randn(shape, requires_grad=True) for shape in ((9, 16), (50, 16), (50,))]

    def gradients(autocast):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = linear_cross_entropy(*inputs, torch.arange(9), reduction=reduction)
            return torch.autograd.grad(loss.sum(), inputs)

    torch.testing.assert_close(gradients(True), gradients(False), rtol=0, atol=0)


def test_other_devices_are_assumed_to_be_fast_at_it():
    assert precision.multiplies_bfloat16("cuda")
    assert precision.multiplies_bfloat16("cpu") in (True, False)


@pytest.mark.parametrize("built_in", [True, False])
def test_without_a_way_to_query(monkeypatch, built_in):
    monkeypatch.setattr(precision.torch.ops, "mkldnn", object())
    monkeypatch.setattr(precision.torch.backends.mkldnn, "is_available", lambda: built_in)
    assert precision.multiplies_bfloat16.__wrapped__("cpu") is built_in
