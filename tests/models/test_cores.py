"""Stacks of cores: shapes, state passing, what each option does."""

import pickle
from typing import get_args

import pytest
import torch

from relational_rnn import RelationalMemory
from relational_rnn.config import CoreConfig
from relational_rnn.config.core import RECURRENT, CoreName
from relational_rnn.config.fields import options
from relational_rnn.models import Stack
from relational_rnn.models.cores import CORES

T, B, I = 5, 3, 8
WIDE = {"hidden_size": 8}
SIZES = {"head_size": 4, "num_heads": 2, "hidden_size": 6}

CASES = [
    pytest.param({"model": "rmc", "mem_slots": 2}, id="rmc"),
    pytest.param({"model": "rmc", "gate_style": None, "num_blocks": 2}, id="rmc-gateless"),
    pytest.param({"model": "rmc", "num_layers": 2, "residual": True}, id="rmc-residual"),
    pytest.param({"model": "rmc", "weight_drop": 0.4, "gate_style": None}, id="rmc-weight-drop"),
    pytest.param({"model": "rmc", "input_rows": 3, "num_layers": 2}, id="rmc-rows"),
    pytest.param({"model": "lstm"}, id="lstm"),
    pytest.param({"model": "lstm", "num_layers": 2, "skip": True}, id="lstm-skip"),
    pytest.param({"model": "lstm", "weight_drop": 0.4, "num_layers": 2}, id="lstm-weight-drop"),
    pytest.param({"model": "lstm-loop", "num_layers": 3, "residual": True}, id="lstm-loop"),
    pytest.param({"model": "gru", "num_layers": 2}, id="gru"),
    pytest.param({"model": "gru", "weight_drop": 0.4, "num_layers": 2}, id="gru-weight-drop"),
    pytest.param({"model": "mingru", "num_layers": 2}, id="mingru"),
    pytest.param({"model": "mingru", "num_layers": 2, "skip": True}, id="mingru-skip"),
    pytest.param({"model": "transformer", **WIDE}, id="transformer"),
    pytest.param({"model": "transformer", "num_layers": 2, **WIDE}, id="transformer-2-layers"),
    pytest.param({"model": "transformer", "attention_window": 2, **WIDE}, id="transformer-window"),
]


def test_every_core_has_a_name_in_the_configuration():
    assert CORES.keys() == set(get_args(CoreName))
    torch.manual_seed(0)
    made = {name: CORES[name].build(CoreConfig(model=name, **SIZES | WIDE), I) for name in CORES}
    assert set(CORES) - set(RECURRENT) == {"transformer"}
    dropped = options(CoreConfig)["weight_drop"].only[1:]
    assert tuple(name for name in CORES if CORES[name].recurrent(made[name])) == dropped


def stack(**fields):
    torch.manual_seed(0)
    return Stack(CoreConfig(**{**SIZES, **fields}), I)


def inputs(*, seed=1):
    return torch.randn(T, B, I, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fields", CASES)
def test_it_can_be_pickled(fields):
    core = stack(**fields).eval()
    twin = pickle.loads(pickle.dumps(core))
    assert torch.equal(*(each(inputs(), each.initial_state(B))[0] for each in (core, twin)))


@pytest.mark.parametrize("fields", CASES)
def test_one_call_equals_two_with_the_state_carried(fields):
    core = stack(**fields).eval()
    state = core.initial_state(B)
    whole, last = core(inputs(), state)
    first, middle = core(inputs()[:2], state)
    second, end = core(inputs()[2:], middle)
    assert whole.shape == (T, B, core.output_size)
    torch.testing.assert_close(torch.cat((first, second)), whole)
    for tensor, other in zip(end, last, strict=True):
        assert tensor.shape[0] == B
        torch.testing.assert_close(tensor, other)


@pytest.mark.parametrize("fields", CASES)
def test_every_parameter_and_the_initial_state_get_a_gradient(fields):
    core = stack(**fields)
    state = tuple(tensor.requires_grad_() for tensor in core.initial_state(B))
    output, last = core(inputs(), state)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    ((output * cotangent).sum() + sum(tensor.square().sum() for tensor in last)).backward()
    for name, parameter in core.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all(tensor.grad is not None for tensor in state)


@pytest.mark.parametrize("model", CORES)
def test_every_core_runs_in_bfloat16(model):
    core = stack(model=model, num_layers=2, **WIDE).bfloat16()
    output, state = core(inputs().bfloat16(), core.initial_state(B))
    assert {tensor.dtype for tensor in (output, *state)} == {torch.bfloat16}
    assert output.isfinite().all()


def test_lstm_and_its_loop_agree():
    one, other = stack(model="lstm", num_layers=2), stack(model="lstm-loop", num_layers=2)
    other.load_state_dict(one.state_dict())
    output, state = one(inputs(), one.initial_state(B))
    same_output, same_state = other(inputs(), other.initial_state(B))
    torch.testing.assert_close(output, same_output)
    torch.testing.assert_close(state, same_state)


def test_residual_adds_the_layer_below():
    plain, residual = stack(num_layers=2), stack(num_layers=2, residual=True)
    residual.load_state_dict(plain.state_dict())
    below = stack(num_layers=1)
    below.layers[0].load_state_dict(plain.layers[0].state_dict())
    state = plain.initial_state(B)
    first, _ = below(inputs(), state[:1])
    torch.testing.assert_close(residual(inputs(), state)[0], plain(inputs(), state)[0] + first)


def test_skip_feeds_the_input_to_every_layer_and_gives_out_all():
    core = stack(model="lstm", num_layers=3, skip=True)
    assert [layer.input_size for layer in core.layers] == [I, 6 + I, 6 + I]
    assert core.output_size == 18
    output, state = core(inputs(), core.initial_state(B))
    torch.testing.assert_close(output[-1], torch.cat(state[::2], dim=-1))  # h of every layer


def test_gate_biases_of_the_lstm():
    plain = stack(model="lstm", forget_bias=0.0)
    biased = stack(model="lstm", forget_bias=2.0, input_bias=-1.0)
    change = biased.layers[0].bias_ih_l0 - plain.layers[0].bias_ih_l0
    assert change.detach().view(4, 6).mean(1).tolist() == pytest.approx([-1.0, 2.0, 0.0, 0.0])


def test_the_gate_bias_of_the_gru_keeps_its_state():
    plain, biased = stack(model="gru", forget_bias=0.0), stack(model="gru", forget_bias=50.0)
    change = biased.layers[0].bias_ih_l0 - plain.layers[0].bias_ih_l0
    assert change.detach().view(3, 6).mean(1).tolist() == pytest.approx([0.0, 50.0, 0.0])
    state = (torch.rand(B, 6),)
    torch.testing.assert_close(biased(inputs(), state)[1], state)


def test_the_gate_bias_of_the_mingru_keeps_its_state():
    plain, biased = stack(model="mingru", forget_bias=0.0), stack(model="mingru", forget_bias=50.0)
    change = biased.layers[0].linear.bias - plain.layers[0].linear.bias
    assert change.detach().view(2, 6).mean(1).tolist() == pytest.approx([50.0, 0.0])
    state = (torch.rand(B, 6),)
    torch.testing.assert_close(biased(inputs(), state)[1], state)


def test_a_transformer_ends_with_a_norm():
    core = stack(model="transformer", **WIDE)
    output, _ = core(inputs(), core.initial_state(B))
    torch.testing.assert_close(output.mean(dim=-1), torch.zeros(T, B))


def test_dropout_between_layers_and_weight_drop_act_in_training_alone():
    for fields in ({"layer_dropout": 0.5, "num_layers": 2}, {"weight_drop": 0.5}):
        core = stack(**fields)
        state = core.initial_state(B)
        assert not torch.equal(core(inputs(), state)[0], core(inputs(), state)[0])
        core.eval()
        assert torch.equal(core(inputs(), state)[0], core(inputs(), state)[0])


PIECES = [(0, [(0, 2), (2, 3), (3, 5)]), (1, [(0, 5)]), (2, [(0, 4), (4, 5)])]
"""Of each sequence its pieces: first step and end."""


@pytest.mark.parametrize("fields", [case for case in CASES if "transformer" not in case.id])
def test_reset_equals_each_piece_alone(fields):
    core = stack(**{**fields, "weight_drop": 0.0}).double()
    given = inputs().double()
    before = tuple(torch.rand_like(tensor) for tensor in core.initial_state(B))
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[2, 0] = reset[3, 0] = reset[0, 1] = reset[4, 2] = True
    seen = given.clone().requires_grad_()
    output, last = core(seen, before, reset)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(3)).double()
    names = [name for name, _ in core.named_parameters()]
    ends = [torch.rand_like(part) for part in last]
    objective = (output * weights).sum() + sum(
        (part * end).sum() for part, end in zip(last, ends, strict=True)
    )
    found = torch.autograd.grad(objective, [seen, *core.parameters()])

    alone = given.clone().requires_grad_()
    objective = torch.zeros((), dtype=torch.float64)
    for sequence, pieces in PIECES:
        state = tuple(part[sequence : sequence + 1] for part in before)
        for first, end in pieces:
            if reset[first, sequence]:
                state = core.initial_state(1)
            piece, state = core(alone[first:end, sequence : sequence + 1], state)
            torch.testing.assert_close(output[first:end, sequence], piece[:, 0])
            objective = objective + (piece[:, 0] * weights[first:end, sequence]).sum()
        for part, each, end in zip(state, last, ends, strict=True):
            torch.testing.assert_close(part[0], each[sequence])
            objective = objective + (part[0] * end[sequence]).sum()
    expected = torch.autograd.grad(objective, [alone, *core.parameters()])
    for name, one, other in zip(["inputs", *names], found, expected, strict=True):
        torch.testing.assert_close(one, other, msg=name)


@pytest.mark.parametrize("fields", [case for case in CASES if "transformer" not in case.id])
def test_reset_at_every_step_and_one_step_at_a_time(fields):
    core = stack(**fields).eval()
    state = tuple(torch.rand_like(tensor) for tensor in core.initial_state(B))
    everywhere = torch.ones(T, B, dtype=torch.bool)
    output, last = core(inputs(), state, everywhere)
    for number, step in enumerate(inputs()):
        one, after = core(step[None], state, everywhere[:1])
        torch.testing.assert_close(one[0], output[number])
        torch.testing.assert_close(one, core(step[None], core.initial_state(B))[0])
    torch.testing.assert_close(after, last)


def test_a_transformer_has_no_reset():
    core = stack(model="transformer", **WIDE)
    for steps in (1, T):
        reset = torch.zeros(steps, B, dtype=torch.bool)
        with pytest.raises(ValueError, match="reset is not supported by a transformer"):
            core(inputs()[:steps], core.initial_state(B), reset)


def test_a_stack_of_memories_is_a_memory_of_several_layers():
    core = stack(model="rmc", mem_slots=2, num_layers=3)
    module = RelationalMemory(I, mem_slots=2, head_size=4, num_heads=2, num_layers=3)
    first, *above = core.layers
    own = {
        f"layers_above.{n}.{k}": v for n, m in enumerate(above) for k, v in m.state_dict().items()
    }
    module.load_state_dict(first.state_dict() | own)
    reset = torch.rand(T, B) < 0.3
    output, state = core(inputs(), core.initial_state(B), reset)
    expected, memory = module(inputs(), reset=reset)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(torch.stack(state, dim=1), memory)
