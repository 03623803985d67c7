import pytest
import torch

from relational_rnn.bench.cases import CPU_VARIANTS
from relational_rnn.bench.check import check, check_core, check_model
from relational_rnn.nn.heads import SoftmaxHead
from relational_rnn.ops.relational_memory import BACKENDS


@pytest.mark.parametrize("name", [variant.name for variant in CPU_VARIANTS])
def test_every_variant_passes(tiny, name):
    check(tiny(name))


@pytest.mark.parametrize("overrides", [{"mem_slots": 3}, {"head": "adaptive"}], ids=str)
def test_what_grows_passes(tiny, overrides):
    check(tiny("rmc fused bfloat16", **overrides))


def test_wrong_forward_is_found(tiny, monkeypatch):
    right = BACKENDS["fused"]

    def wrong(*arguments):
        output, memory = right(*arguments)
        return output * 1.001, memory

    monkeypatch.setitem(BACKENDS, "fused", wrong)
    with pytest.raises(ArithmeticError, match="output differs from the reference by"):
        check_core(tiny("rmc fused float32"))
    with pytest.raises(ArithmeticError, match="differs"):
        check_model(tiny("rmc fused float32"))


def test_wrong_gradient_is_found(tiny, monkeypatch):
    right = BACKENDS["fused"]

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 1.001

    def wrong(inputs, memory, p, o):
        return right(inputs, memory, p._replace(mlp_bias=Wrong.apply(p.mlp_bias)), o)

    monkeypatch.setitem(BACKENDS, "fused", wrong)
    with pytest.raises(ArithmeticError, match=r"gradient of layers\.0\.mlp_bias differs"):
        check_core(tiny("rmc fused float32"))


def test_nan_is_found(tiny, monkeypatch):
    right = BACKENDS["fused"]

    def wrong(*arguments):
        output, memory = right(*arguments)
        return output * float("nan"), memory

    monkeypatch.setitem(BACKENDS, "fused", wrong)
    with pytest.raises(ArithmeticError, match="nan"):
        check_core(tiny("rmc fused bfloat16"))


@pytest.mark.parametrize("name", ["lstm", "rmc fused bfloat16"])
def test_wrong_loss_is_found(tiny, monkeypatch, name):
    right = SoftmaxHead.loss
    monkeypatch.setattr(SoftmaxHead, "loss", lambda *a, **k: right(*a, **k) * 1.05)
    with pytest.raises(ArithmeticError, match="loss differs"):
        check_model(tiny(name))
