"""The updates of Muon are orthogonal; the rest is AdamW's, to the bit."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.train.muon import MOMENTUM, Muon, orthogonalized
from relational_rnn.train.optimizers import build_optimizer

# Five iterations do not converge; from singular values above 0.01 they end between these.
SMALLEST, LARGEST = 0.65, 1.25


def with_singular_values(rows: int, columns: int, values: torch.Tensor) -> torch.Tensor:
    left = torch.linalg.qr(torch.randn(rows, len(values), dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(columns, len(values), dtype=torch.float64))[0]
    return left * values @ right.T


@pytest.mark.parametrize("shape", [(6, 6), (5, 12), (12, 5), (1, 7), (7, 1)])
def test_singular_values_near_one_and_the_same_vectors(shape):
    torch.manual_seed(0)
    values = torch.logspace(0, -1.5, min(shape), dtype=torch.float64)
    matrix = 3e4 * with_singular_values(*shape, values)
    found = orthogonalized(matrix)
    assert found.dtype == torch.float64
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    within = left.T @ found @ right.T  # diagonal: the vectors have not changed
    assert (within - within.diagonal().diag()).abs().max() < 1e-6
    assert within.diagonal().min() > SMALLEST
    assert within.diagonal().max() < LARGEST


def test_a_stack_is_its_matrices_one_by_one():
    stack = torch.randn(3, 4, 9, dtype=torch.float64)
    one_by_one = torch.stack([orthogonalized(matrix) for matrix in stack])
    torch.testing.assert_close(orthogonalized(stack), one_by_one)


def test_no_gradient_is_no_direction():
    assert orthogonalized(torch.zeros(3, 5)).count_nonzero() == 0


def test_bfloat16_on_request():
    torch.manual_seed(0)
    matrix = torch.randn(16, 24)
    low = orthogonalized(matrix, low=True)
    assert low.dtype == torch.bfloat16
    # eight bits a number, through 15 products: a few percent
    assert (low - orthogonalized(matrix)).norm() < 0.05 * low.norm()


def muon(*matrices: nn.Parameter, others: tuple[nn.Parameter, ...] = (), **options: Any) -> Muon:
    groups = [{"params": list(others), "weight_decay": 0.0}] if others else []
    settings = {"lr": 0.1, "weight_decay": 0.0, "rms": 0.2, "low": False, **options}
    return Muon(matrices, groups, betas=(0.9, 0.99), fused=True, **settings)


@pytest.mark.parametrize("shape", [(8, 8), (16, 6), (6, 16)])
def test_three_steps_equal_those_of_torch(shape):
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    start = ours.detach().clone()
    optimizers = (
        muon(ours, weight_decay=0.3),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    # theirs iterates in bfloat16
    assert (ours - theirs).norm() < 0.05 * (ours - start).norm()


def test_the_size_of_an_update_is_that_of_rms():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(2, 64, 64))
    weight.grad = torch.randn(2, 64, 64)
    muon(weight, lr=0.01, rms=0.6).step()
    assert weight.square().mean().sqrt().item() == pytest.approx(0.01 * 0.6, rel=0.15)


def test_the_direction_is_that_of_the_nesterov_momentum():
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 5, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(5, 5, dtype=torch.float64))
    optimizer = muon(weight, lr=1.0, rms=1.0)
    weight.grad = first
    optimizer.step()
    after_one = weight.detach().clone()
    weight.grad = second
    optimizer.step()
    momentum = (1 - MOMENTUM) * (MOMENTUM * first + second)
    direction = (1 - MOMENTUM) * second + MOMENTUM * momentum
    torch.testing.assert_close(after_one - weight, 5**0.5 * orthogonalized(direction))


def test_decay_is_decoupled_and_a_parameter_without_gradient_stays():
    decayed, unused = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))
    decayed.grad = torch.zeros(2, 3)
    muon(decayed, unused, lr=0.5, weight_decay=0.2).step()
    torch.testing.assert_close(decayed.detach(), torch.full((2, 3), 0.9))
    torch.testing.assert_close(unused.detach(), torch.ones(2, 3))


def test_gradients_of_a_closure_are_used_once():
    """Lightning's closure sets the gradients to zero and computes them."""
    matrix, bias = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    optimizer = muon(matrix, others=(bias,))

    def closure() -> float:
        optimizer.zero_grad()
        loss = matrix.sum() + bias.sum()
        loss.backward()
        return loss.item()

    for _ in range(3):
        optimizer.step(closure)
    assert matrix.grad is not None
    torch.testing.assert_close(matrix.grad, torch.ones(2, 2))
    assert bias.detach().lt(0).all()


def test_bfloat16_steps_and_a_copy_goes_on_alike():
    torch.manual_seed(0)
    exact, low = (nn.Parameter(torch.zeros(20, 30)) for _ in range(2))
    optimizers = [muon(exact), muon(low, low=True)]
    gradient = torch.randn(20, 30)
    for parameter, optimizer in zip((exact, low), optimizers, strict=True):
        parameter.grad = gradient.clone()
        optimizer.step()
    assert (low - exact).norm() < 0.05 * exact.norm()
    twin = copy.deepcopy(optimizers[0])
    exact.grad = gradient
    (other,) = twin.param_groups[0]["params"]
    other.grad = gradient
    optimizers[0].step()
    twin.step()
    assert torch.equal(other, exact)


@pytest.mark.parametrize("model", ["rmc", "lstm", "gru"])
def test_the_hidden_matrices_by_muon_and_the_rest_by_adamw(model):
    models = []
    for optimizer in ("muon", "adamw"):
        torch.manual_seed(0)
        config = LanguageModelingConfig(
            model=model, optimizer=optimizer, weight_decay=0.1, embedding_size=8, head_size=4
        )
        language_model = LanguageModel(config, 20)
        models.append(language_model)
        built = build_optimizer(config, language_model)
        assert isinstance(built, Muon) == (optimizer == "muon")
        held = [parameter for group in built.param_groups for parameter in group["params"]]
        assert len({id(parameter) for parameter in held}) == len(held)
        assert len(held) == len(list(language_model.parameters()))
        for step in range(3):
            for seed, parameter in enumerate(language_model.parameters()):
                generator = torch.Generator().manual_seed(100 * step + seed)
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            built.step()
    by_muon = {
        name
        for (name, one), (_, other) in zip(*(m.named_parameters() for m in models), strict=True)
        if not torch.equal(one, other)
    }
    matrices = {
        name
        for name, parameter in models[0].named_parameters()
        if name.startswith(("core.", "projection.")) and "weight" in name and "norm" not in name
    }
    assert len(matrices) > 1
    assert by_muon == matrices
