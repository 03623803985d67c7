"""What the modules mean, how they are called, and what they refuse."""

import copy
import gc
import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from relational_rnn import RelationalMemory, RelationalMemoryCell
from relational_rnn.nn.dropout import WeightDrop
from relational_rnn.ops.relational_memory import BACKENDS

SMALL: dict[str, Any] = {"input_size": 3, "mem_slots": 2, "head_size": 4, "num_heads": 2}
CPU_BACKENDS = [name for name in BACKENDS if name not in ("triton", "native")]
EXACT = {"atol": 1e-12, "rtol": 1e-12}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("gate_style", ["unit", "memory"])
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_closed_input_and_open_forget_gate_keep_the_memory_to_the_bit(
    gate_style: Any, backend: str
) -> None:
    core = RelationalMemory(
        **SMALL,
        gate_style=gate_style,
        forget_bias=float("inf"),
        input_bias=float("-inf"),
        backend=backend,
    )
    memory = torch.randn(5, 2, 8)
    output, last = core(torch.randn(7, 5, 3), memory)
    assert torch.equal(last, memory)
    assert torch.equal(output, memory.flatten(1).expand(7, -1, -1))


@pytest.mark.parametrize("options", [{}, {"num_blocks": 2}, {"gate_style": None}], ids=str)
def test_sequence_equals_cell_step_by_step(options: dict[str, Any]) -> None:
    core = RelationalMemory(**SMALL, **options, dtype=torch.float64)
    cell = RelationalMemoryCell(**SMALL, **options, dtype=torch.float64)
    cell.load_state_dict(core.state_dict())
    inputs = torch.randn(6, 4, 3, dtype=torch.float64)
    output, last = core(inputs)
    memory = None
    for t, row in enumerate(inputs):
        memory = cell(row, memory)
        torch.testing.assert_close(memory.flatten(1), output[t], **EXACT)
    torch.testing.assert_close(memory, last, **EXACT)


def test_batch_first_and_unbatched_are_layouts_only() -> None:
    core = RelationalMemory(**SMALL, dtype=torch.float64)
    other = RelationalMemory(**SMALL, dtype=torch.float64, batch_first=True)
    other.load_state_dict(core.state_dict())
    inputs = torch.randn(6, 4, 3, dtype=torch.float64)
    memory = torch.randn(4, 2, 8, dtype=torch.float64)
    output, last = core(inputs, memory)
    swapped, swapped_last = other(inputs.transpose(0, 1), memory)
    torch.testing.assert_close(swapped.transpose(0, 1), output, **EXACT)
    torch.testing.assert_close(swapped_last, last, **EXACT)
    for module in (core, other):
        alone, alone_last = module(inputs[:, 1], memory[1])
        torch.testing.assert_close(alone, output[:, 1], **EXACT)
        torch.testing.assert_close(alone_last, last[1], **EXACT)


def test_matrix_inputs_have_a_dimension_more() -> None:
    core = RelationalMemory(**SMALL, input_rows=3)
    output, memory = core(torch.randn(5, 4, 3, 3))
    assert output.shape == (5, 4, 16)
    assert memory.shape == (4, 2, 8)
    alone, _ = core(torch.randn(5, 3, 3))
    assert alone.shape == (5, 16)
    assert RelationalMemoryCell(**SMALL, input_rows=3)(torch.randn(4, 3, 3)).shape == (4, 2, 8)


@pytest.mark.filterwarnings("ignore:mem_slots")
def test_more_and_fewer_slots_than_width() -> None:
    wide = RelationalMemory(input_size=3, mem_slots=2, head_size=4).initial_state(1)[0]
    assert torch.equal(wide, torch.eye(2, 4))
    tall = RelationalMemory(input_size=3, mem_slots=4, head_size=2).initial_state(1)[0]
    assert torch.equal(tall, torch.eye(4, 2))


def test_initialisation_is_sonnets() -> None:
    core = RelationalMemory(input_size=50, mem_slots=1, head_size=100, num_heads=2)
    for name, value in core.state_dict().items():
        if name.endswith("norm_weight"):
            assert torch.equal(value, torch.ones_like(value)), name
        elif name.endswith("bias"):
            assert torch.equal(value, torch.zeros_like(value)), name
        else:
            deviation = value.shape[-1] ** -0.5
            assert value.abs().max() <= 2 * deviation, name
            # a normal cut at two standard deviations has 0.88 of the standard deviation left
            assert value.std() / deviation == pytest.approx(0.88, abs=0.03), name


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("every", [1, 3, 7, 50])
def test_checkpoints_change_memory_and_not_results(backend: str, every: int) -> None:
    core = RelationalMemory(**SMALL, backend=backend, dtype=torch.float64)
    sparing = RelationalMemory(
        **SMALL, backend=backend, dtype=torch.float64, checkpoint_every=every
    )
    sparing.load_state_dict(core.state_dict())
    inputs = torch.randn(7, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(7, 3, 16, dtype=torch.float64)
    results = []
    for module in (core, sparing):
        output, _ = module(inputs)
        gradients = torch.autograd.grad((output * weights).sum(), [inputs, *module.parameters()])
        results.append([output, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def live_tensors() -> int:
    gc.collect()
    return sum(type(thing) is torch.Tensor for thing in gc.get_objects())


def test_checkpoints_leave_nothing_but_memories_behind() -> None:
    core = RelationalMemory(**SMALL, checkpoint_every=16)
    inputs = torch.randn(64, 3, 3)
    before = live_tensors()
    output, _ = core(inputs)
    assert live_tensors() - before < 4 * 10  # of each piece its memories; no weights, no steps
    output.sum().backward()


def test_a_loss_that_is_kept_does_not_keep_what_its_backward_pass_needed() -> None:
    core = RelationalMemory(**SMALL)
    core(torch.randn(20, 3, 3))[0].mean().backward()
    before = live_tensors()
    losses = [core(torch.randn(20, 3, 3))[0].mean() for _ in range(3)]
    for loss in losses:
        loss.backward()
    assert live_tensors() - before == 3


def test_checkpoints_of_a_bfloat16_core_do_not_round_the_memory() -> None:
    core = RelationalMemory(**SMALL, dtype=torch.bfloat16)
    sparing = RelationalMemory(**SMALL, dtype=torch.bfloat16, checkpoint_every=5)
    sparing.load_state_dict(core.state_dict())
    inputs = torch.randn(40, 4, 3, dtype=torch.bfloat16)
    torch.testing.assert_close(sparing(inputs), core(inputs), atol=0, rtol=0)


def test_an_empty_batch_runs_like_any_other() -> None:
    for backend in CPU_BACKENDS:
        core = RelationalMemory(**SMALL, backend=backend)
        inputs = torch.zeros(5, 0, 3, requires_grad=True)
        output, memory = core(inputs)
        assert (output.shape, memory.shape) == ((5, 0, 16), (0, 2, 8))
        output.sum().backward()
        assert inputs.grad is not None


def test_shapes_on_the_meta_device() -> None:
    output, memory = RelationalMemory(**SMALL, device="meta")(torch.randn(5, 4, 3, device="meta"))
    assert (output.shape, memory.shape) == ((5, 4, 16), (4, 2, 8))


def test_imported_under_another_device_it_runs_on_this_one() -> None:
    code = """
import torch
with torch.device("meta"):
    from relational_rnn import RelationalMemory
RelationalMemory(3, 2, 4)(torch.randn(5, 4, 3))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch.compile itself
def test_torch_compile_leaves_the_loop_alone_and_compiles_what_is_around() -> None:
    core, head = RelationalMemory(**SMALL), nn.Linear(16, 3)

    def loss(inputs: torch.Tensor) -> torch.Tensor:
        return head(core(inputs)[0]).square().mean()

    compiled = torch.compile(loss, backend="eager")
    graphs = [torch._dynamo.explain(loss)(torch.randn(n, 4, 3)).graph_count for n in (5, 20)]
    assert graphs[0] == graphs[1]  # nothing for each step
    for steps in (20, 21):
        inputs = torch.randn(steps, 4, 3)
        found, expected = compiled(inputs), loss(inputs)
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(x, [*core.parameters()]) for x in (found, expected)]
        torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)  # float32, 21 steps deep


def test_print_shows_what_is_unusual() -> None:
    assert repr(RelationalMemory(**SMALL)) == (
        "RelationalMemory(3, mem_slots=2, head_size=4, num_heads=2)"
    )
    core = RelationalMemory(**SMALL, key_size=3, forget_bias=2, batch_first=True)
    assert repr(core).endswith("num_heads=2, key_size=3, forget_bias=2.0, batch_first=True)")


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_dtypes(backend: str) -> None:
    core = RelationalMemory(**SMALL, backend=backend)
    inputs = torch.randn(5, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        output, memory = core(inputs)
    assert output.dtype == memory.dtype == torch.float32
    half = copy.deepcopy(core).to(torch.bfloat16)
    output, memory = half(inputs.bfloat16())
    assert output.dtype == memory.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), core(inputs)[0], atol=0.1, rtol=0.1)
    output.float().sum().backward()
    assert all(parameter.grad is not None for parameter in half.parameters())


def test_one_state_dict_for_all_backends_and_for_copies() -> None:
    core = RelationalMemory(**SMALL)
    for backend in CPU_BACKENDS:
        other = RelationalMemory(**SMALL, backend=backend)
        other.load_state_dict(core.state_dict())
    inputs = torch.randn(5, 4, 3)
    assert torch.equal(copy.deepcopy(core)(inputs)[0], core(inputs)[0])


def test_trains() -> None:
    core, head = RelationalMemory(**SMALL), nn.Linear(16, 3)
    optimizer = torch.optim.Adam([*core.parameters(), *head.parameters()], lr=1e-2)
    inputs = torch.randn(5, 16, 3)
    losses = []
    for _ in range(120):  # say what was heard the step before
        output, _ = core(inputs)
        loss = (head(output[1:]) - inputs[:-1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mem_slots": 0}, "mem_slots must be an integer of at least 1, got 0"),
        ({"num_heads": 1.5}, "num_heads must be an integer of at least 1, got 1.5"),
        ({"head_size": -2}, "head_size must .* got -2"),
        ({"key_size": 0}, "key_size must .* got 0"),
        ({"num_blocks": 0}, "num_blocks must .* got 0"),
        ({"attention_mlp_layers": 0}, "attention_mlp_layers must .* got 0"),
        ({"gate_style": "row"}, "gate_style must be 'unit', 'memory' or None, got 'row'"),
        ({"backend": "magic"}, "backend must be 'auto' or one of .*'reference'.*, got 'magic'"),
        ({"input_rows": 0}, "input_rows must .* got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must .* got 0"),
        ({"checkpoint_every": 1.5}, "checkpoint_every must .* got 1.5"),
        ({"forget_bias": "a"}, "forget_bias must be a number, got 'a'"),
        ({"input_bias": float("nan")}, "input_bias must be a number, got nan"),
        ({"forget_bias": True}, "forget_bias must be a number, got True"),
        ({"batch_first": "no"}, "batch_first must be True or False, got 'no'"),
        ({"backend": []}, r"backend must .* got \[\]"),
        ({"backend": np.array(["auto", "fused"])}, "backend must .* got array"),
        ({"gate_style": np.array([1, 2])}, "gate_style must .* got array"),
        ({"gate_inputs": "row"}, "gate_inputs must be 'projected' or 'raw', got 'row'"),
        ({"gate_inputs": np.array([1, 2])}, "gate_inputs must .* got array"),
        ({"head_size": 2**70}, "head_size must be at most 2147483647, got 1180591620717411303424"),
        ({"checkpoint_every": 2**31}, "checkpoint_every must be at most 2147483647, got"),
    ],
    ids=str,
)
def test_names_the_argument_that_is_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelationalMemory(**{**SMALL, **change})


@pytest.mark.parametrize(
    ("inputs", "memory", "message"),
    [
        ((5, 4, 2), None, r"last dimension of inputs must be 3, got shape \[5, 4, 2\]"),
        ((5, 4, 3), (3, 2, 8), r"memory must have shape \[4, 2, 8\], got \[3, 2, 8\]"),
        ((5, 3), (4, 2, 8), r"memory must have shape \[2, 8\], got \[4, 2, 8\]"),
        ((0, 4, 3), None, r"inputs must have at least one step \(T\), got shape \[0, 4, 3\]"),
        ((3,), None, r"inputs must have 2 or 3 dimensions, got shape \[3\]"),
        ((1, 5, 4, 3), None, "2 or 3 dimensions"),
        ((5, 2), None, r"got shape \[5, 2\]"),
    ],
    ids=str,
)
def test_names_the_shape_that_does_not_fit(inputs: Any, memory: Any, message: str) -> None:
    core = RelationalMemory(**SMALL)
    with pytest.raises(ValueError, match=message):
        core(torch.zeros(inputs), None if memory is None else torch.zeros(memory))


def test_refuses_inputs_of_another_dtype() -> None:
    with pytest.raises(
        ValueError, match=r"inputs must be torch.float32 like the parameters, got torch.float64"
    ):
        RelationalMemory(**SMALL)(torch.zeros(5, 4, 3, dtype=torch.float64))


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_takes_a_memory_of_another_dtype_under_autocast_only(backend: str) -> None:
    core = RelationalMemory(**SMALL, backend=backend)
    inputs, memory = torch.randn(5, 4, 3), torch.zeros(4, 2, 8)
    for other in (torch.int64, torch.float64, torch.bfloat16):
        with pytest.raises(
            ValueError, match=f"memory must be torch.float32 like the parameters, got {other}"
        ):
            core(inputs, memory.to(other))
    with torch.autocast("cpu", torch.bfloat16):
        output, last = core(inputs, memory.bfloat16())
    assert output.dtype == last.dtype == torch.float32


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_autocast_frees_inputs_of_floats_but_for_float64(backend: str) -> None:
    core = RelationalMemory(**SMALL, backend=backend)
    inputs = torch.ones(5, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert core(inputs.half())[0].dtype == torch.float32
        for other in (torch.int64, torch.float64):
            with pytest.raises(
                ValueError, match=f"inputs must be torch.float32 like the parameters, got {other}"
            ):
                core(inputs.to(other))
        with pytest.raises(ValueError, match=r"inputs must be torch.float64 .* got torch.float32"):
            core.double()(inputs)


def test_converts_numpy_integers() -> None:
    names = ("input_size", "mem_slots", "head_size", "num_heads", "input_rows", "checkpoint_every")
    core = RelationalMemory(**{name: np.int64(2) for name in names})
    names += ("key_size", "num_blocks", "attention_mlp_layers", "mem_size", "output_size")
    assert {type(getattr(core, name)) for name in names} == {int}


def test_names_what_is_no_tensor() -> None:
    core, packed = RelationalMemory(**SMALL), nn.utils.rnn.pack_sequence([torch.zeros(3, 3)])
    for call, inputs, kind in ((core, [0.0], "list"), (core.trace, packed, "PackedSequence")):
        with pytest.raises(TypeError, match=f"inputs must be a tensor, got a {kind}"):
            call(inputs)
    with pytest.raises(TypeError, match="memory must be a tensor, got a tuple"):
        core(torch.zeros(5, 4, 3), (torch.zeros(4, 2, 8),))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_packed_sequences_are_called_like_an_lstm(batch_first: bool, ordered: bool) -> None:
    core = RelationalMemory(**SMALL, batch_first=batch_first, dtype=torch.float64)
    lstm = nn.LSTM(3, 5, batch_first=batch_first, dtype=torch.float64)
    lengths = [6, 4, 2, 2] if ordered else [2, 6, 4, 2]
    alone = [torch.randn(length, 3, dtype=torch.float64) for length in lengths]
    packed = nn.utils.rnn.pack_sequence(alone, enforce_sorted=ordered)
    memory = torch.randn(4, 2, 8, dtype=torch.float64)
    output, last = core(packed, memory)
    like = lstm(packed)[0]
    assert torch.equal(output.batch_sizes, like.batch_sizes)
    for name in ("sorted_indices", "unsorted_indices"):
        found, expected = getattr(output, name), getattr(like, name)
        assert (found is None and expected is None) or torch.equal(found, expected)
    for row, sequence in enumerate(nn.utils.rnn.unpack_sequence(output)):
        given = alone[row].unsqueeze(0 if batch_first else 1)
        expected, end = core(given, memory[row : row + 1])
        torch.testing.assert_close(sequence, expected.flatten(0, 1), **EXACT)
        torch.testing.assert_close(last[row : row + 1], end, **EXACT)
    with pytest.raises(ValueError, match="a PackedSequence has lengths of its own"):
        core(packed, lengths=torch.tensor(lengths))


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_and_resets_in_both_layouts(batch_first: bool) -> None:
    core = RelationalMemory(**SMALL, batch_first=batch_first, dtype=torch.float64)
    inputs = torch.randn(2, 5, 3, dtype=torch.float64)  # [B, T, I]
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[0, 3] = True
    lengths = torch.tensor([5, 2], dtype=torch.int32)
    if batch_first:
        output, last = core(inputs, lengths=lengths, reset=reset)
    else:
        output, last = core(inputs.transpose(0, 1), lengths=lengths, reset=reset.T)
        output = output.transpose(0, 1)
    one = RelationalMemory(**SMALL, dtype=torch.float64)
    one.load_state_dict(core.state_dict())
    before, _ = one(inputs[0, :3])
    after, end = one(inputs[0, 3:])
    torch.testing.assert_close(output[0], torch.cat([before, after]), **EXACT)
    torch.testing.assert_close(last[0], end, **EXACT)
    short, end = one(inputs[1, :2])
    torch.testing.assert_close(output[1, :2], short, **EXACT)
    torch.testing.assert_close(last[1], end, **EXACT)
    assert not output[1, 2:].any()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"lengths": torch.tensor([1, 2])}, r"lengths must have shape \[4\], got \[2\]"),
        ({"lengths": torch.ones(4)}, "lengths must be integers, got torch.float32"),
        ({"lengths": torch.tensor([1, 6, 1, 1])}, r"lengths must be from 0 to 5, got \[1, 6"),
        ({"lengths": torch.tensor([1, -1, 1, 1])}, "lengths must be from 0 to 5"),
        ({"lengths": [1, 1, 1, 1]}, "lengths must be a tensor, got a list"),
        ({"reset": torch.zeros(5, 4)}, r"reset must be bool with shape \[5, 4\], got torch.float"),
        (
            {"reset": torch.zeros(4, 5, dtype=torch.bool)},
            r"reset must be bool with shape \[5, 4\], got torch.bool with shape \[4, 5\]",
        ),
    ],
)
def test_refuses_lengths_and_resets_that_do_not_fit(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        RelationalMemory(**SMALL)(torch.zeros(5, 4, 3), **arguments)
    with pytest.raises((TypeError, ValueError), match="need inputs with a batch"):
        RelationalMemory(**SMALL)(torch.zeros(5, 3), **arguments)


def test_compiles_with_lengths() -> None:
    core = RelationalMemory(**SMALL)
    inputs, lengths = torch.randn(5, 4, 3), torch.tensor([5, 1, 2, 0])
    compiled = torch.compile(core, backend="eager")
    for found, expected in zip(
        compiled(inputs, lengths=lengths), core(inputs, lengths=lengths), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_exports_with_lengths_and_resets() -> None:
    core = RelationalMemory(**SMALL)
    inputs, lengths = torch.randn(5, 4, 3), torch.tensor([5, 1, 2, 0])
    reset = torch.rand(5, 4) < 0.3
    program = torch.export.export(core, (inputs,), {"lengths": lengths, "reset": reset})
    for found, expected in zip(
        program.module()(inputs, lengths=lengths, reset=~reset),
        core(inputs, lengths=lengths, reset=~reset),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_layers_equal_cores_on_top_of_each_other(backend: str, batch_first: bool) -> None:
    kind: dict[str, Any] = {"backend": backend, "batch_first": batch_first, "dtype": torch.float64}
    core = RelationalMemory(**SMALL, num_layers=3, **kind)
    inputs = torch.randn(5, 4, 3, dtype=torch.float64)
    inputs = inputs.transpose(0, 1) if batch_first else inputs
    memory = torch.randn(4, 3, 2, 8, dtype=torch.float64)
    lengths, reset = torch.tensor([5, 3, 1, 2]), torch.rand(5, 4) < 0.3
    reset = reset.T if batch_first else reset
    output, last = core(inputs, memory, lengths=lengths, reset=reset)
    assert last.shape == core.initial_state(4).shape == memory.shape
    for number in range(3):
        one = RelationalMemory(**{**SMALL, "input_size": inputs.shape[-1]}, **kind)
        prefix = f"layers_above.{number - 1}." if number else ""
        named = {name: core.get_parameter(prefix + name) for name in one.state_dict()}
        one.load_state_dict(named)
        inputs, end = one(inputs, memory[:, number], lengths=lengths, reset=reset)
        torch.testing.assert_close(last[:, number], end, **EXACT)
    torch.testing.assert_close(output, inputs, **EXACT)
    alone = core(torch.randn(5, 3, dtype=torch.float64))
    assert [x.shape for x in alone] == [(5, 16), (3, 2, 8)]


def test_what_is_set_later_is_set_for_all_layers() -> None:
    changed = {"backend": "reference", "checkpoint_every": 2, "forget_bias": 3.0, "input_bias": -1}
    core = RelationalMemory(**SMALL, num_layers=3)
    for name, value in changed.items():
        setattr(core, name, value)
    for layer in core.layers_above:
        assert {name: getattr(layer, name) for name in changed} == changed
    assert copy.deepcopy(core).arguments() == core.arguments()


def test_dropout_is_between_layers_and_in_training() -> None:
    core = RelationalMemory(**SMALL, num_layers=2, dropout=0.5)
    inputs = torch.randn(5, 4, 3)
    (first, memory), (second, other) = core(inputs), core(inputs)
    assert not torch.equal(first, second)
    assert torch.equal(memory[:, 0], other[:, 0])  # the first layer's
    core.eval()
    assert torch.equal(core(inputs)[0], core(inputs)[0])
    with pytest.warns(UserWarning, match="dropout acts between layers, and there is one layer"):
        RelationalMemory(**SMALL, dropout=0.5)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.5"):
        RelationalMemory(**SMALL, dropout=1.5)


def test_what_takes_one_layer() -> None:
    core = RelationalMemory(**SMALL, num_layers=2)
    for call in (core.to_sonnet, lambda: core.trace(torch.zeros(5, 4, 3))):
        with pytest.raises(ValueError, match="takes one layer, this module has 2"):
            call()
    with pytest.raises(ValueError, match="Sonnet takes one layer"):
        RelationalMemory.from_sonnet({}, **SMALL, num_layers=2)
    raw = RelationalMemory(**SMALL, gate_inputs="raw")
    for call in (raw.to_sonnet, lambda: RelationalMemory.from_sonnet({}, **raw.arguments())):
        with pytest.raises(ValueError, match="Sonnet's gates read the projected inputs"):
            call()
    with pytest.raises(ValueError, match=r"bidirectional is not supported: .* docs/module.md"):
        RelationalMemory(**SMALL, bidirectional=True)


def test_gates_that_read_raw_inputs_have_fewer_weights_and_the_same_functions() -> None:
    torch.manual_seed(0)
    raw = RelationalMemory(3, 2, 4, 2, gate_inputs="raw", dtype=torch.float64)
    projected = RelationalMemory(3, 2, 4, 2, dtype=torch.float64)
    assert raw.gate_input_weight.shape == (16, 3)
    assert projected.gate_input_weight.shape == (16, 8)
    state = raw.state_dict()
    # rank 3: there is a weight of the projection that does the same
    weight = state["gate_input_weight"] @ torch.linalg.pinv(state["projection_weight"])
    state["gate_input_bias"] = state["gate_input_bias"] - weight @ state["projection_bias"]
    state["gate_input_weight"] = weight
    projected.load_state_dict(state)
    inputs = torch.randn(5, 4, 3, dtype=torch.float64)
    for ours, theirs in zip(raw(inputs), projected(inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_warns_of_slots_that_stay_equal() -> None:
    _, memory = RelationalMemory(3, 9, 8)(torch.randn(4, 2, 3))
    assert not torch.equal(memory[:, 7], memory[:, 8])
    with pytest.warns(UserWarning, match=r"mem_slots \(10\) is more than the width .* \(8\)"):
        core = RelationalMemory(3, 10, 8)
    _, memory = core(torch.randn(4, 2, 3))
    torch.testing.assert_close(memory[:, 8], memory[:, 9])


def test_names_the_backend_that_is_none_when_it_was_set_later() -> None:
    core = RelationalMemory(**SMALL)
    core.backend = "Fused"
    with pytest.raises(ValueError, match=r"backend must be 'auto' or one of .* got 'Fused'"):
        core(torch.zeros(5, 4, 3))


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    sizes = {name: np.int64(value) for name, value in SMALL.items()}
    assert RelationalMemory(**sizes)(torch.zeros(5, 4, 3))[0].shape == (5, 4, 16)


@pytest.mark.parametrize("strict", [True, False])
def test_torch_export(strict: bool) -> None:
    core, inputs = RelationalMemory(**SMALL), torch.randn(3, 4, 3)
    exported = torch.export.export(core, (inputs,), strict=strict).module()
    torch.testing.assert_close(exported(inputs), core(inputs))


def test_sonnets_names_in_any_scope_and_what_is_no_float() -> None:
    core = RelationalMemory(**SMALL, dtype=torch.bfloat16)
    variables = {f"my_mlp/{name.split('/', 1)[1]}": x for name, x in core.to_sonnet().items()}
    again = RelationalMemory.from_sonnet(variables, **SMALL)
    for name, value in core.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.float()), name
    with pytest.raises(ValueError, match="variable 'linear/w' is missing"):
        RelationalMemory.from_sonnet({}, **SMALL)
    whole = {name: x.astype(int) for name, x in variables.items()}
    with pytest.raises(
        ValueError, match=r"variable 'my_mlp/.*' must be float32 or float64, got int64"
    ):
        RelationalMemory.from_sonnet(whole, **SMALL)


def test_sonnets_weights_in_the_dtype_asked_for_and_of_a_parametrised_core() -> None:
    core = RelationalMemory(**SMALL)
    again = RelationalMemory.from_sonnet(core.to_sonnet(), **SMALL, dtype=torch.float64)
    assert {x.dtype for x in again.parameters()} == {torch.float64}
    nn.utils.parametrizations.weight_norm(core, "projection_weight")
    given = core.to_sonnet()["relational_memory/linear/w"]
    torch.testing.assert_close(torch.from_numpy(given), core.projection_weight.detach().mT)


def test_weights_to_drop_from_are_there_without_gates_too() -> None:
    core = RelationalMemory(**SMALL, gate_style=None)
    assert core.recurrent_weights == ["qkv_weight", "mlp_weight"]
    WeightDrop(core, core.recurrent_weights, 0.5)(torch.randn(5, 4, 3))
    core = RelationalMemory(**SMALL, gate_style=None, num_layers=2)
    names = ["qkv_weight", "mlp_weight"]
    assert core.recurrent_weights == [*names, *(f"layers_above.0.{name}" for name in names)]
    WeightDrop(core, core.recurrent_weights, 0.5)(torch.randn(5, 4, 3))


@pytest.mark.parametrize("module", [RelationalMemory, RelationalMemoryCell])
def test_the_signature_names_every_parameter(module: Any) -> None:
    parameters = inspect.signature(module).parameters
    expected = {
        "input_size": inspect.Parameter.empty,
        "mem_slots": inspect.Parameter.empty,
        "head_size": inspect.Parameter.empty,
        "num_heads": 1,
        "key_size": None,
        "num_blocks": 1,
        "attention_mlp_layers": 2,
        "gate_style": "unit",
        "gate_inputs": "projected",
        "forget_bias": 1.0,
        "input_bias": 0.0,
        "input_rows": None,
        "backend": "auto",
        "batch_first": False,
        "bidirectional": False,
        "num_layers": 1,
        "dropout": 0.0,
        "checkpoint_every": None,
        "device": None,
        "dtype": None,
    }
    if module is RelationalMemoryCell:
        names = ("batch_first", "bidirectional", "checkpoint_every", "dropout", "num_layers")
        expected = {name: value for name, value in expected.items() if name not in names}
    assert {name: parameter.default for name, parameter in parameters.items()} == expected
    assert list(parameters)[:4] == ["input_size", "mem_slots", "head_size", "num_heads"]
    assert all(x.annotation is not inspect.Parameter.empty for x in parameters.values())
    by_position = [x for x in parameters.values() if x.kind is x.POSITIONAL_OR_KEYWORD]
    assert len(by_position) == 4
    assert "Args:" in module.__doc__
    documentation = inspect.getdoc(module) or ""
    assert all(f"\n    {name}: " in documentation for name in parameters)


@pytest.mark.parametrize("module", [RelationalMemory, RelationalMemoryCell])
def test_skip_init_makes_a_module_that_a_state_dict_completes(module: Any) -> None:
    before = torch.get_rng_state()
    skipped = nn.utils.skip_init(module, 8, 2, 4, num_heads=2, forget_bias=3.0)
    assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn
    assert {x.device.type for x in skipped.parameters()} == {"cpu"}
    core = module(8, 2, 4, num_heads=2, forget_bias=3.0)
    skipped.load_state_dict(core.state_dict())
    inputs = torch.randn(5, 3, 8) if module is RelationalMemory else torch.randn(3, 8)
    for one, other in zip(
        torch.utils._pytree.tree_leaves(skipped(inputs)),
        torch.utils._pytree.tree_leaves(core(inputs)),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_skip_init_on_another_device_and_dtype() -> None:
    core = nn.utils.skip_init(RelationalMemory, 8, 2, 4, device="meta", dtype=torch.float64)
    assert {(x.device.type, x.dtype) for x in core.parameters()} == {("meta", torch.float64)}


def test_dir_shows_the_public_names_and_imports_no_torch() -> None:
    code = """
import sys, relational_rnn
names = dir(relational_rnn)
assert names == ["RelationalMemory", "RelationalMemoryCell", "__version__"], names
assert "torch" not in sys.modules
assert all(getattr(relational_rnn, name) for name in names)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "must be float32 or float64, got float"),
        (None, "must be float32 or float64, got NoneType"),
        ([[1.0]], "must be float32 or float64, got list"),
        (np.zeros((), np.float32), r"must have shape .* got \[\]"),
        (np.zeros(3, np.float32), r"must have shape .* got \[3\]"),
    ],
)
def test_sonnets_variable_that_is_no_matrix(value: object, message: str) -> None:
    variables = dict(RelationalMemory(**SMALL).to_sonnet())
    variables["relational_memory/linear/w"] = value
    with pytest.raises(ValueError, match="variable 'relational_memory/linear/w' " + message):
        RelationalMemory.from_sonnet(variables, **SMALL)


def test_a_trace_with_resets_is_of_the_same_steps():
    core = RelationalMemory(3, mem_slots=2, head_size=4, num_heads=2)
    inputs, memory = torch.randn(6, 2, 3), torch.randn(2, 2, 8)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[0, 1] = reset[4, 0] = True
    output, _ = core(inputs, memory, reset=reset)
    torch.testing.assert_close(core.trace(inputs, memory, reset=reset).output, output)
    with pytest.raises(ValueError, match="reset must be bool with shape"):
        core.trace(inputs, memory, reset=reset[:, :1])


def test_hooks_of_every_layer_run():
    core = RelationalMemory(3, 2, head_size=4, num_heads=2, num_layers=3, batch_first=True)
    seen = []
    for number, layer in enumerate([core, *core.layers_above]):

        def hook(module, arguments, result, number=number):
            seen.append((number, result[0].shape))

        layer.register_forward_hook(hook)
    lengths = torch.tensor([7, 2])
    output, _ = core(torch.randn(2, 7, 3), lengths=lengths)
    own = torch.Size([7, 2, 16])  # layers above read [T, B, ...]
    assert seen == [(1, own), (2, own), (0, output.shape)]


@pytest.mark.parametrize("backend", ["reference", "fused", "auto"])
@pytest.mark.parametrize(("batch", "lengths"), [(0, True), (0, False), (2, True)])
def test_sequences_without_a_step_have_gradients(backend, batch, lengths):
    core = RelationalMemory(3, mem_slots=2, head_size=4, num_heads=2, backend=backend)
    inputs = torch.randn(5, batch, 3)
    none = torch.zeros(batch, dtype=torch.long)
    output, memory = core(inputs, lengths=none if lengths else None)
    assert output.shape == (5, batch, 16)
    assert memory.shape == (batch, 2, 8)
    output.sum().backward()
    for name, parameter in core.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
