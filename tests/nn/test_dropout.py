"""What is dropped together, what is kept, and how it is scaled."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relational_rnn.nn.dropout import EmbeddingDropout, VariationalDropout, WeightDrop
from relational_rnn.nn.loop_lstm import LoopLSTM


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_variational_has_one_mask_for_all_steps() -> None:
    dropped = VariationalDropout(0.25)(torch.ones(5, 40, 50))
    assert torch.equal(dropped, dropped[:1].expand(5, -1, -1))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(dropped[0, 0], dropped[0, 1])  # every sequence has its own


def test_embedding_drops_whole_words_at_all_their_places() -> None:
    embedding = nn.Embedding.from_pretrained(torch.ones(300, 4))
    tokens = torch.randint(300, (60, 40))
    mask = EmbeddingDropout(0.25)(embedding, tokens)  # [T, B, E]
    of_word = torch.zeros(300, 4).index_put((tokens,), mask)
    assert torch.equal(of_word[tokens], mask)
    assert torch.equal(mask, mask[..., :1].expand_as(mask))
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert (of_word == 0).float().mean().item() == pytest.approx(0.25, abs=0.06)


class Toy(nn.Module):
    """Two weights, one of them deeper down."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(20, 30)
        self.scale = nn.Parameter(torch.ones(30))

    def forward(self, inputs: Tensor, *, times: int) -> Tensor:
        return sum(self.inner(inputs) * self.scale for _ in range(times))


def recurrent(kind: str) -> tuple[nn.Module, tuple[str, ...]]:
    kinds = {"lstm": nn.LSTM(6, 20), "loop": LoopLSTM(6, 20)}
    return kinds[kind], ("weight_hh_l0",)


@pytest.mark.parametrize("kind", ["lstm", "loop"])
def test_weight_drop_equals_the_module_with_a_masked_weight(kind: str) -> None:
    module, names = recurrent(kind)
    dropping = WeightDrop(module, names, 0.5)
    inputs, cotangent = torch.randn(4, 3, 6), torch.randn(4, 3, 20)

    torch.manual_seed(1)
    actual = dropping(inputs)[0]
    actual_gradients = torch.autograd.grad(actual, list(module.parameters()), cotangent)

    torch.manual_seed(1)
    mask = nn.functional.dropout(torch.ones_like(module.weight_hh_l0), 0.5)
    masked = copy.deepcopy(module)
    with torch.no_grad():
        masked.weight_hh_l0.mul_(mask)
    expected = masked(inputs)[0]
    gradients = dict(
        zip(
            dict(masked.named_parameters()),
            torch.autograd.grad(expected, list(masked.parameters()), cotangent),
            strict=True,
        )
    )
    gradients["weight_hh_l0"] = gradients["weight_hh_l0"] * mask
    torch.testing.assert_close(actual, expected)
    for (name, wanted), got in zip(gradients.items(), actual_gradients, strict=True):
        torch.testing.assert_close(got, wanted, msg=name)


def test_weight_drop_draws_anew_for_every_call_only() -> None:
    dropping = WeightDrop(Toy(), ["inner.weight"], 0.5)
    inputs = torch.randn(2, 20)
    once, twice = dropping(inputs, times=1), dropping(inputs, times=1)
    assert not torch.equal(once, twice)
    torch.manual_seed(1)
    once = dropping(inputs, times=1)
    torch.manual_seed(1)
    torch.testing.assert_close(dropping(inputs, times=3), 3 * once)  # one mask for the call


@pytest.mark.parametrize("kind", ["lstm", "loop"])
def test_weight_drop_leaves_the_module_whole(kind: str) -> None:
    module, names = recurrent(kind)
    before = copy.deepcopy(module.state_dict())
    dropping = WeightDrop(module, names, 0.5)
    inputs = torch.randn(4, 3, 6)
    dropping(inputs)[0].sum().backward()
    assert list(dropping.state_dict()) == [f"module.{name}" for name in before]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    twin = copy.deepcopy(dropping)
    assert torch.equal(twin.eval()(inputs)[0], module(inputs)[0])
    assert all(parameter.grad is not None for parameter in module.parameters())
    with torch.no_grad():  # an optimizer's step is seen by the next call
        module.weight_hh_l0.zero_()
    assert torch.equal(dropping(inputs)[0], module(inputs)[0])


def run(module: nn.Module) -> Tensor:
    inputs: Any = torch.linspace(-1, 1, 60).view(2, 3, 10)
    if isinstance(module, EmbeddingDropout):
        return module(nn.Embedding.from_pretrained(inputs[0]), torch.tensor([[0, 2], [1, 1]]))
    return module(inputs)


@pytest.mark.parametrize(
    "make",
    [VariationalDropout, EmbeddingDropout, lambda p: WeightDrop(nn.Linear(10, 4), ["weight"], p)],
    ids=["variational", "embedding", "weight"],
)
def test_off_in_evaluation_and_at_zero(make: Any) -> None:
    module = make(0.5)
    plain = run(module.eval())
    assert not torch.equal(run(module.train()), plain)
    module.p = 0.0
    assert torch.equal(run(module), plain)
    for p in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"p must be in \[0, 1\), got {p}"):
            make(p)


def test_an_unknown_weight_is_named() -> None:
    with pytest.raises(ValueError, match=r"names must be among .*weight_hh_l0.* got 'weight_hh'"):
        WeightDrop(nn.LSTM(2, 3), ["weight_hh"], 0.5)
