"""The chunked loss against the reference: outputs, every gradient, odd shapes, memory."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from relational_rnn.ops.linear_cross_entropy import chunked, linear_cross_entropy
from relational_rnn.ops.linear_cross_entropy.reference import linear_cross_entropy as reference

BUDGET = {
    torch.float64: {"atol": 1e-12, "rtol": 1e-10},
    torch.float32: {"atol": 2e-6, "rtol": 2e-5},
}
WIDTH = 6


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows a chunk and two a tile at 13 classes, so that neither divides the rows."""
    monkeypatch.setattr(chunked, "CHUNK", 7 * 13)
    monkeypatch.setattr(chunked, "MINIMUM_ROWS", 1)
    monkeypatch.setattr(chunked, "TILE", 2 * 13)


def tensors(
    *shape: int, classes: int = 13, bias: bool = True, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor | None], Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    parameters = [normal(*shape, WIDTH), normal(classes, WIDTH), normal(classes) if bias else None]
    for parameter in parameters:
        if parameter is not None:
            parameter.requires_grad_()
    return parameters, torch.randint(classes, shape, generator=generator)


def outcome(function: Any, inputs: list[Tensor | None], targets: Tensor, **options: Any) -> Any:
    """Loss, then the gradient of each input under a random cotangent."""
    loss = function(*inputs, targets, **options)
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(loss.shape, generator=generator, dtype=torch.float64).to(loss)
    given = [tensor for tensor in inputs if tensor is not None]
    return loss.detach(), *torch.autograd.grad(loss, given, cotangent)


@pytest.mark.parametrize("dtype", BUDGET, ids=["float64", "float32"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3], ids=["sharp", "smooth"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("shape", "classes", "bias", "ignored"),
    [
        pytest.param((17,), 13, True, 0, id="rows17-chunk7"),
        pytest.param((14,), 13, False, 3, id="rows14-ignored3"),
        pytest.param((5, 4), 13, True, 5, id="5x4-ignored5"),
        pytest.param((1,), 13, True, 0, id="one-row"),
        pytest.param((), 13, True, 0, id="no-leading-dimension"),
        pytest.param((3,), 1, True, 0, id="one-class"),
        pytest.param((9,), 101, False, 0, id="one-row-a-chunk"),
        pytest.param((0,), 13, True, 0, id="no-rows"),
        pytest.param((4,), 13, True, 4, id="all-ignored"),
    ],
)
def test_equals_the_reference(
    shape: tuple[int, ...],
    classes: int,
    bias: bool,
    ignored: int,
    reduction: str,
    label_smoothing: float,
    dtype: torch.dtype,
) -> None:
    inputs, targets = tensors(*shape, classes=classes, bias=bias, dtype=dtype)
    targets.view(-1)[:ignored] = -7
    options = {
        "reduction": reduction,
        "label_smoothing": label_smoothing,
        "ignore_index": -7,
    }
    actual = outcome(linear_cross_entropy, inputs, targets, **options)
    expected = outcome(reference, inputs, targets, **options)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, **BUDGET[dtype], equal_nan=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_gradcheck(bias: bool, reduction: str) -> None:
    inputs, targets = tensors(9, bias=bias)
    targets[4] = -100
    assert torch.autograd.gradcheck(
        lambda *inputs: linear_cross_entropy(
            *inputs, targets, reduction=reduction, label_smoothing=0.1
        ),
        inputs,
    )


def eager(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, *, reduction: str
) -> Tensor:
    logits = F.linear(hidden, weight, bias).float()
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)
    return losses.view_as(targets) if reduction == "none" else losses


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("source", ["autocast", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 100, 200])  # of a chunk; 200 are too few chunks to pack for
def test_bfloat16_error_is_at_most_twice_that_of_eager_code(
    rows: int, source: str, reduction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "MINIMUM_ROWS", rows)
    dtype = torch.bfloat16 if source == "bfloat16" else torch.float32
    inputs, targets = tensors(120, 4, classes=300, dtype=dtype)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    truth = outcome(reference, exact, targets, reduction=reduction)
    with torch.autocast("cpu", torch.bfloat16, enabled=source == "autocast"):
        actual = outcome(linear_cross_entropy, inputs, targets, reduction=reduction)
        peer = outcome(eager, inputs, targets, reduction=reduction)
        losses = linear_cross_entropy(*inputs, targets, reduction="none")
    # One mean's error is a matter of luck: the losses it is the mean of are what to compare.
    first = 1 if reduction == "mean" else 0
    if reduction == "mean":
        torch.testing.assert_close(actual[0], losses.mean())
    for ours, theirs, expected in list(zip(actual, peer, truth, strict=True))[first:]:
        assert ours.dtype == theirs.dtype
        for measure in (torch.max, torch.norm):
            floor = 1e-6 * measure(expected.abs())  # float32's own rounding
            budget = 2 * measure((theirs - expected).abs()) + floor
            assert measure((ours - expected).abs()) <= budget


def test_a_confident_prediction_keeps_its_gradient() -> None:
    hidden = torch.tensor([[6.5]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], requires_grad=True)
    targets = torch.tensor([0])
    exact = outcome(reference, [hidden, weight, None], targets)
    with torch.autocast("cpu", torch.bfloat16):
        actual = outcome(linear_cross_entropy, [hidden, weight, None], targets)
    for one, other in zip(actual, exact, strict=True):  # 1 - probability is 0.0015
        torch.testing.assert_close(one, other, rtol=0.01, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_an_improbable_target_has_a_finite_loss(dtype: torch.dtype) -> None:
    hidden = torch.tensor([[1000.0]], dtype=dtype)
    weight = torch.tensor([[1.0], [0.0]], dtype=dtype)
    assert linear_cross_entropy(hidden, weight, None, torch.tensor([1])) == 1000


def test_tied_weight_gets_both_gradients() -> None:
    (_, weight, _), targets = tensors(5, 2)
    tokens = targets.roll(1, 0)
    loss = linear_cross_entropy(weight[tokens], weight, None, targets)
    expected = reference(weight[tokens], weight, None, targets)
    torch.testing.assert_close(
        torch.autograd.grad(loss, weight), torch.autograd.grad(expected, weight)
    )


@pytest.mark.parametrize("frozen", [0, 1, 2], ids=["hidden", "weight", "bias"])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_frozen_tensor_gets_no_gradient(reduction: str, frozen: int) -> None:
    inputs, targets = tensors(9)
    complete = outcome(linear_cross_entropy, inputs, targets, reduction=reduction)[1:]
    inputs[frozen].requires_grad_(False)
    loss = linear_cross_entropy(*inputs, targets, reduction=reduction)
    cotangent = torch.randn(
        loss.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    loss.backward(cotangent)
    for index, tensor in enumerate(inputs):
        if index == frozen:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, complete[index])


class Products(TorchDispatchMode):
    """Counts matrix products and notes the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        self.count += func.overloadpacket._qualified_op_name in ("aten::mm", "aten::addmm_")
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_forms_no_gradient_without_grad(reduction: str) -> None:
    inputs, targets = tensors(7)
    with Products() as products, torch.no_grad():
        linear_cross_entropy(*inputs, targets, reduction=reduction)
    assert products.count == 1


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_never_holds_the_logits_of_all_rows(reduction: str) -> None:
    inputs, targets = tensors(64)
    with Products() as products:
        linear_cross_entropy(*inputs, targets, reduction=reduction).sum().backward()
    assert products.largest == 64 * WIDTH  # hidden's gradient; all logits are 64 * 13
    with Products() as products:
        reference(*inputs, targets, reduction=reduction)
    assert products.largest == 64 * 13


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_second_derivative_raises(reduction: str) -> None:
    inputs, targets = tensors(3)
    loss = linear_cross_entropy(*inputs, targets, reduction=reduction).sum()
    with pytest.raises(RuntimeError, match="differentiated only once"):
        torch.autograd.grad(loss, inputs[0], create_graph=True)


def test_backward_twice_gives_the_same() -> None:
    inputs, targets = tensors(9)
    loss = linear_cross_entropy(*inputs, targets)
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    torch.testing.assert_close(first, torch.autograd.grad(loss, inputs), rtol=0, atol=0)


def test_bad_arguments_are_named() -> None:
    inputs, targets = tensors(3)
    with pytest.raises(ValueError, match=r"targets \[4\]"):
        linear_cross_entropy(*inputs, torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'max'"):
        linear_cross_entropy(*inputs, targets, reduction="max")
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got 1\.0"):
        linear_cross_entropy(*inputs, targets, label_smoothing=1.0)
    with pytest.raises(RuntimeError, match="out of bounds"):
        linear_cross_entropy(*inputs, targets + 13)
