"""The loop against torch.nn.LSTM."""

import pytest
import torch
from torch import nn

from relational_rnn.nn.loop_lstm import LoopLSTM


@pytest.mark.parametrize("given", [True, False], ids=["state", "no-state"])
@pytest.mark.parametrize(
    ("steps", "batch", "width", "size"),
    [
        pytest.param(7, 3, 5, 4, id="T7-B3-I5-H4"),
        pytest.param(1, 1, 1, 1, id="T1-B1-I1-H1"),
        pytest.param(2, 2, 3, 9, id="T2-B2-I3-H9"),
    ],
)
def test_equals_the_lstm(steps: int, batch: int, width: int, size: int, given: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    peer = nn.LSTM(width, size).double()
    ours = LoopLSTM(width, size).double()
    ours.load_state_dict(peer.state_dict())
    inputs = normal(steps, batch, width).requires_grad_()
    state = [normal(1, batch, size).requires_grad_() for _ in "hc"] if given else None
    cotangents = [normal(steps, batch, size), normal(1, batch, size), normal(1, batch, size)]

    def outcome(module: nn.Module) -> list[torch.Tensor]:
        output, (hidden, cell) = module(inputs, state and tuple(state))
        wanted = [inputs, *(state or []), *module.parameters()]
        gradients = torch.autograd.grad([output, hidden, cell], wanted, cotangents)
        return [output, hidden, cell, *gradients]

    for actual, expected in zip(outcome(ours), outcome(peer), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-13, rtol=1e-11)


def test_the_same_seed_draws_the_same_weights() -> None:
    torch.manual_seed(3)
    expected = nn.LSTM(4, 5).state_dict()
    torch.manual_seed(3)
    actual = LoopLSTM(4, 5).state_dict()
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value)


def test_the_cell_state_stays_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output, (_, cell) = LoopLSTM(4, 5)(torch.randn(3, 2, 4))
    assert output.dtype == cell.dtype == torch.float32


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="hidden_size must be an integer of at least 1, got 0"):
        LoopLSTM(4, 0)


def test_states_and_resets_of_another_shape_are_refused() -> None:
    layer, inputs, state = LoopLSTM(3, 5), torch.zeros(4, 2, 3), torch.zeros(1, 2, 5)
    with pytest.raises(ValueError, match=r"^cell state .* shape \[1, 2, 5\], got .*\[1, 1, 5\]"):
        layer(inputs, (state, state[:, :1]))
    with pytest.raises(ValueError, match=r"^hidden state .*, got torch.float32 .* \[2, 5\]"):
        layer(inputs, (state[0], state))
    for wrong in (torch.zeros(4, 3), torch.zeros(0, 2, 3)):
        with pytest.raises(ValueError, match=r"^inputs must have shape \[T, B, I\], with at least"):
            layer(wrong)
    with pytest.raises(ValueError, match=r"^reset must be bool .* \[4, 2\], got .* \[4, 1\]"):
        layer(inputs, reset=torch.zeros(4, 1, dtype=torch.bool))
