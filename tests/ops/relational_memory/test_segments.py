"""Sequences of several lengths that start anew on the way: each equals itself alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relational_rnn.ops.relational_memory import BACKENDS, Interruptions, relational_memory
from relational_rnn.ops.relational_memory.segments import segments

# As in test_backends.py.
BUDGET = {
    torch.float64: {"atol": 1e-11, "rtol": 1e-9},
    torch.float32: {"atol": 1e-4, "rtol": 1e-3},
}
CASES = [
    pytest.param("reference", torch.float64, id="reference"),
    pytest.param("fused", torch.float64, id="fused"),
    pytest.param("fused", torch.float32, id="fused, float32"),
    pytest.param("native", torch.float32, id="native"),
    pytest.param("auto", torch.float32, id="auto"),
]
STEPS = 9
LENGTHS = [9, 1, 0, 4, 9, 7]
RESETS = {(0, 0), (3, 0), (8, 0), (0, 1), (2, 1), (5, 2), (1, 3), (2, 3), (3, 3), (4, 3), (6, 5)}
"""Of (step, sequence); two of them are after the end of a sequence."""


def interruptions(slots: int, width: int, dtype: torch.dtype) -> Interruptions:
    reset = torch.zeros(STEPS, len(LENGTHS), dtype=torch.bool)
    for place in RESETS:
        reset[place] = True
    initial = torch.zeros(slots, width, dtype=dtype).fill_diagonal_(1)
    return Interruptions(torch.tensor(LENGTHS), reset, initial)


def one_by_one(problem: Any) -> tuple[Tensor, Tensor]:
    """Memories and last memories, each sequence alone and step by step, by the reference."""
    inputs, memory, parameters, options = problem[:4]
    lengths, reset, initial = interruptions(*memory.shape[1:], memory.dtype)
    columns, lasts = [], []
    for b, length in enumerate(lengths.tolist()):
        state, column = memory[b : b + 1], []
        for t in range(length):
            state = initial[None] if reset[t, b] else state
            step = inputs[t : t + 1, b : b + 1]
            state = relational_memory(step, state, parameters, options, backend="reference")[1]
            column.append(state[0])
        column += [torch.zeros_like(memory[0])] * (STEPS - length)
        columns.append(torch.stack(column))
        lasts.append(state[0])
    return torch.stack(columns, dim=1), torch.stack(lasts)


def differentiate(problem: Any, memories: Tensor, last: Tensor) -> dict[str, Tensor]:
    ((memories * problem.d_outputs).sum() + (last * problem.d_memory).sum()).backward()
    return {"memories": memories.detach(), "last": last.detach(), **problem.gradients()}


@pytest.mark.parametrize("checkpoint_every", [None, 2])
@pytest.mark.parametrize("shape", [{}, {"slots": 3, "rows": 2, "gate": "memory"}], ids=str)
@pytest.mark.parametrize(("backend", "dtype"), CASES)
def test_equals_each_sequence_alone(
    problem: Callable[..., Any],
    backend: str,
    dtype: torch.dtype,
    shape: dict[str, Any],
    checkpoint_every: int | None,
) -> None:
    sizes = {"steps": STEPS, "batch": len(LENGTHS), **shape}
    alone = problem(**sizes)
    expected = differentiate(alone, *one_by_one(alone))
    together = problem(**sizes).to(dtype)
    found = differentiate(
        together,
        *relational_memory(
            *together[:4],
            backend=backend,
            checkpoint_every=checkpoint_every,
            interruptions=interruptions(*together.memory.shape[1:], dtype),
        ),
    )
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.to(dtype), **BUDGET[dtype], msg=name)


@pytest.mark.parametrize("backend", ["reference", "fused", "native"])
def test_padding_of_any_value_reaches_neither_output_nor_gradient(
    problem: Callable[..., Any], backend: str
) -> None:
    results = []
    for value in (0.0, float("nan")):
        given = problem(steps=STEPS, batch=len(LENGTHS)).to(torch.float32)
        ended = torch.arange(STEPS)[:, None] >= torch.tensor(LENGTHS)
        with torch.no_grad():
            given.inputs[ended] = value
        answer = relational_memory(
            *given[:4],
            backend=backend,
            interruptions=interruptions(*given.memory.shape[1:], torch.float32),
        )
        results.append(differentiate(given, *answer))
    for name, value in results[0].items():
        assert torch.equal(results[1][name], value), name
    assert not results[1]["inputs"][ended].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_any_step(problem: Callable[..., Any], backend: str) -> None:
    given = problem(steps=2).to(torch.float32)
    nowhere = torch.zeros(2, 3, dtype=torch.bool)
    none = Interruptions(torch.zeros(3, dtype=torch.int64), nowhere, given.memory[0].detach())
    memories, last = relational_memory(*given[:4], backend=backend, interruptions=none)
    assert not memories.any()
    assert torch.equal(last, given.memory)


@given(st.data())
def test_segments_are_those_that_a_walk_finds(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    flags = st.lists(st.booleans(), min_size=batch, max_size=batch)
    reset = data.draw(st.lists(flags, min_size=steps, max_size=steps))
    expected = []
    for b, length in enumerate(lengths):
        for t in range(length):
            if t == 0 or reset[t][b]:
                expected.append([b, t, 0, t == 0 and not reset[t][b]])
            expected[-1][2] += 1
    found = segments(torch.tensor(lengths), torch.tensor(reset))
    assert [list(one) for one in zip(*(x.tolist() for x in found), strict=True)] == expected
