"""A layer of the transformer: causal, in pieces as in one, blind beyond its window."""

import pytest
import torch

from relational_rnn.nn.transformer import TransformerLayer, rotated

T, B, W = 7, 2, 8


def layer(**arguments):
    torch.manual_seed(0)
    return TransformerLayer(W, W, num_heads=2, **arguments).double()


def run(made, inputs):
    return made(inputs, made.initial_state(inputs.shape[1]))[0]


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(T, B, W, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("window", [None, 1, 3, 20])
def test_a_step_sees_its_window_and_nothing_else(inputs, window):
    made = layer(window=window)
    before = run(made, inputs)
    changed = inputs.clone()
    changed[2, :, 0] += 1  # of all features alike the norm would remove it
    seen = (run(made, changed) != before).any(dim=-1).all(dim=-1).tolist()
    assert seen == [2 <= step < 2 + (window or T) for step in range(T)]


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("pieces", [[1] * T, [3, 4], [6, 1]], ids=str)
def test_in_pieces_as_in_one_call(inputs, window, pieces):
    made = layer(window=window)
    state, outputs = made.initial_state(B), []
    for piece in inputs.split(pieces):
        output, state = made(piece, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), run(made, inputs))
    kept = T if window is None else window - 1
    assert [tensor.shape for tensor in state] == [(B, kept, W)] * 2


def test_attention_by_hand(inputs):
    """The same layer with attention as the textbook writes it, one query at a time."""
    made = layer()
    rows = made.attention_norm(inputs)
    query, key, value = made.query_key_value(rows).chunk(3, dim=-1)
    attended = torch.zeros_like(inputs)
    for b in range(B):
        for head in range(2):
            part = slice(head * 4, head * 4 + 4)
            for t in range(T):
                positions = torch.arange(t + 1)
                keys = rotated(key[: t + 1, b, part], positions)
                asked = rotated(query[t : t + 1, b, part], positions[-1:])[0]
                shares = ((keys @ asked) / 2).softmax(dim=0)  # 2: the root of the head size
                attended[t, b, part] = shares @ value[: t + 1, b, part]
    hidden = inputs + made.attention_output(attended)
    torch.testing.assert_close(run(made, inputs), hidden + made.mlp(hidden))


def test_rotated_products_depend_on_the_distance_alone():
    generator = torch.Generator().manual_seed(1)
    one, other = torch.randn(2, 1, 6, generator=generator, dtype=torch.float64)

    def product(at, there):
        at, there = torch.tensor([at]), torch.tensor([there])
        return (rotated(one, at) * rotated(other, there)).sum()

    torch.testing.assert_close(product(3, 5), product(40, 42))
    assert abs(product(3, 5) - product(3, 6)) > 1e-3
    quarter = rotated(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    torch.testing.assert_close(
        quarter, torch.tensor([[1.0, 0.0]]).new_tensor([[0.5403, 0.8415]]), atol=1e-4, rtol=0
    )


def test_gradients(inputs):
    made = layer(window=3)
    torch.autograd.gradcheck(lambda x: run(made, x), inputs[:4].requires_grad_())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 10}, "hidden_size must be a multiple of 2 \\* num_heads, 4, got 10"),
        ({"window": 0}, "window must be an integer of at least 1, got 0"),
        ({"feedforward_size": 0}, "feedforward_size must be an integer of at least 1, got 0"),
    ],
    ids=["width", "window", "feedforward"],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransformerLayer(W, **{"hidden_size": W, "num_heads": 2, **arguments})
