"""minGRU: the recurrence by hand, in pieces and with resets."""

import pytest
import torch

from relational_rnn.nn.min_gru import MinGRU

B, I, H = 3, 5, 4


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return MinGRU(I, H).double()


def inputs(steps):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, B, I, generator=generator, dtype=torch.float64)


def by_hand(layer, rows, state, reset=None):
    """The equations of the paper, one step at a time."""
    keep, write = layer.linear.weight.chunk(2)
    keep_bias, write_bias = layer.linear.bias.chunk(2)
    outputs = []
    for step, x in enumerate(rows):
        z = torch.sigmoid(-(x @ keep.T + keep_bias))
        candidate = x @ write.T + write_bias
        if reset is not None:
            state = state * ~reset[step, :, None]
        state = (1 - z) * state + z * candidate
        outputs.append(state)
    return torch.stack(outputs)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13])
def test_it_is_the_recurrence_of_the_paper(layer, steps):
    rows = inputs(steps).requires_grad_()
    state = torch.rand(1, B, H, dtype=torch.float64, requires_grad=True)
    output, last = layer(rows, state)
    expected = by_hand(layer, rows, state[0])
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(last, expected[-1:])
    wanted = [rows, state, *layer.parameters()]
    cotangent = torch.randn(expected.shape, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(output, wanted, cotangent),
        torch.autograd.grad(expected, wanted, cotangent),
    )


def test_the_state_is_zero_at_first(layer):
    torch.testing.assert_close(layer(inputs(6)), layer(inputs(6), torch.zeros(1, B, H).double()))


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 5], [8, 1]], ids=str)
def test_in_pieces_as_in_one_call(layer, pieces):
    state, outputs = torch.ones(1, B, H, dtype=torch.float64), []
    whole = layer(inputs(9), state)
    for piece in inputs(9).split(pieces):
        output, state = layer(piece, state)
        outputs.append(output)
    torch.testing.assert_close((torch.cat(outputs), state), whole)


def test_a_reset_begins_again(layer):
    generator = torch.Generator().manual_seed(2)
    reset = torch.rand(9, B, generator=generator) < 0.3
    state = torch.ones(1, B, H, dtype=torch.float64)
    output, _ = layer(inputs(9), state, reset=reset)
    torch.testing.assert_close(output, by_hand(layer, inputs(9), state[0], reset))
    reset[0] = True
    broken, _ = layer(inputs(9), state / 0, reset=reset)
    torch.testing.assert_close(broken, layer(inputs(9), reset=reset)[0])


def test_under_autocast_the_state_is_summed_in_float32(layer):
    layer.float()
    with torch.no_grad():
        layer.linear.bias[:H] += 5  # nearly everything is kept
    rows = inputs(300).float()
    with torch.autocast("cpu", torch.bfloat16):
        output, last = layer(rows)
        projected = layer.linear(rows)
    assert output.dtype == last.dtype == torch.float32
    keep, candidate = projected.float().chunk(2, dim=-1)
    state, expected = torch.zeros(B, H), []
    for factor, term in zip(keep.sigmoid(), candidate, strict=True):
        state = factor * state + (1 - factor) * term
        expected.append(state)
    # 300 roundings of float32; a sum in bfloat16 is off by 7e-3.
    torch.testing.assert_close(output, torch.stack(expected), atol=3e-5, rtol=1e-5)


def test_no_steps_are_refused(layer):
    with pytest.raises(ValueError, match="at least one step"):
        layer(inputs(3)[:0])


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_a_size_below_1_is_refused(sizes):
    with pytest.raises(ValueError, match="_size must be"):
        MinGRU(*sizes)


@pytest.mark.parametrize("shape", [(B, H), (2, B, H), (1, 1, H), (1, B + 1, H)], ids=str)
def test_a_state_of_another_shape_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"^state must be .* with shape \[1, 3, 4\], got"):
        layer(inputs(2), torch.zeros(shape, dtype=torch.float64))


def test_other_arguments_that_are_refused(layer):
    with pytest.raises(ValueError, match=r"^state must be floating-point .*, got torch.int64"):
        layer(inputs(2), torch.zeros(1, B, H, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"^state must be a tensor, got a tuple"):
        layer(inputs(2), (torch.zeros(1, B, H),))
    with pytest.raises(ValueError, match=r"^reset must be bool .* \[2, 3\], got .*\[3, 3\]"):
        layer(inputs(2), reset=torch.zeros(3, B, dtype=torch.bool))
