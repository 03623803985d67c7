"""The Triton path against the reference, on a CUDA device (`make test-gpu`).

`test_triton_interpreter.py` runs the same tests on a CPU, through Triton's interpreter.
"""

import gc
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relational_rnn.ops.relational_memory import relational_memory

pytest.importorskip("triton", reason="the package 'triton' is not installed")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no CUDA device"),
]
on_device = pytest.mark.skipif(INTERPRETED, reason="slow in the interpreter, or about CUDA graphs")

# float64: two orders of the same sums. float32: forty roundings deep, sums of up to 500 terms.
BUDGET = {
    torch.float64: {"atol": 1e-11, "rtol": 1e-9},
    torch.float32: {"atol": 1e-4, "rtol": 1e-3},
}
TINY = {"steps": 2, "batch": 2}
CASES: dict[str, dict[str, Any]] = {
    "one slot": {**TINY, "layers": 3},
    "several slots, matrix inputs": {**TINY, "batch": 1, "slots": 3, "rows": 2, "heads": 3},
    "memory gate": {**TINY, "gate": "memory", "slots": 2, "layers": 1},
    "raw gate inputs": {**TINY, "gate_inputs": "raw", "slots": 2},
    "no gate": {"steps": 2, "batch": 1, "gate": None, "slots": 2},
    "one of everything": {
        "steps": 1,
        "batch": 1,
        "input_size": 1,
        "heads": 1,
        "head": 1,
        "key": 1,
        "layers": 1,
    },
}
ALL: dict[str, dict[str, Any]] = {
    **CASES,
    "published size": {
        "steps": 6,
        "batch": 16,
        "heads": 4,
        "head": 192,
        "key": 64,
        "layers": 3,
        "input_size": 192,
    },
    "more slots than width": {"slots": 9, "heads": 1, "head": 4},
    "many steps": {"steps": 40, "batch": 9, "slots": 4, "heads": 8, "head": 16, "key": 16},
}


def run(problem: Any, backend: str, *, autocast: bool = False) -> dict[str, Tensor]:
    inputs, memory, parameters, options, d_outputs, d_memory = problem
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=autocast):
        outputs, last = relational_memory(inputs, memory, parameters, options, backend=backend)
    ((outputs * d_outputs).sum() + (last * d_memory).sum()).backward()
    found = {"outputs": outputs.detach(), "last": last.detach(), **problem.gradients()}
    return {name: value.cpu() for name, value in found.items()}


def check(actual: dict[str, Tensor], expected: dict[str, Tensor], dtype: torch.dtype) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == dtype, name
        scale = value.abs().max().clamp(min=1.0)
        torch.testing.assert_close(
            actual[name].double() / scale,
            value / scale,
            **BUDGET[dtype],
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("shape", CASES.values(), ids=CASES.keys())
def test_equals_reference(problem: Callable[..., Any], shape: dict[str, Any]) -> None:
    expected = run(problem(**shape), "reference")
    actual = run(problem(**shape).to(torch.float64, DEVICE), "triton")
    check(actual, expected, torch.float64)


def test_equals_reference_in_float32(problem: Callable[..., Any]) -> None:
    expected = run(problem(**TINY), "reference")
    actual = run(problem(**TINY).to(torch.float32, DEVICE), "triton")
    check(actual, expected, torch.float32)


@on_device
@pytest.mark.parametrize("dtype", BUDGET, ids=str)
@pytest.mark.parametrize("shape", ALL.values(), ids=ALL.keys())
def test_all_shapes_equal_reference(
    problem: Callable[..., Any], shape: dict[str, Any], dtype: torch.dtype
) -> None:
    expected = run(problem(**shape), "reference")
    check(run(problem(**shape).to(dtype, DEVICE), "triton"), expected, dtype)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"steps": 2, "layers": 3}, id="one slot"),
        pytest.param({"steps": 2, "batch": 1, "slots": 2, "gate": "memory"}, id="memory gate"),
    ],
)
def test_bfloat16_products_err_no_more_than_twice_as_eager(
    problem: Callable[..., Any], shape: dict[str, Any]
) -> None:
    exact = run(problem(**shape), "reference")
    eager = run(problem(**shape).to(torch.float32, DEVICE), "reference", autocast=True)
    actual = run(problem(**shape).to(torch.float32, DEVICE), "triton", autocast=True)
    total = {"eager": 0.0, "actual": 0.0}
    for name, value in exact.items():
        scale = value.norm() + 1e-3 * value.numel() ** 0.5  # a gradient may be exactly zero
        total["eager"] += float((eager[name] - value).norm() / scale)
        total["actual"] += float((actual[name] - value).norm() / scale)
    for name in ("outputs", "last"):
        error = (actual[name] - exact[name]).abs().max()
        assert error <= 2 * (eager[name] - exact[name]).abs().max() + 1e-3, name
    assert total["actual"] <= 2 * total["eager"]


def test_erased_input_leaves_the_memory_as_it_is(problem: Callable[..., Any]) -> None:
    inputs, memory, parameters, options, _, _ = problem(**TINY).to(torch.float32, DEVICE)
    options = options._replace(forget_bias=float("inf"), input_bias=-float("inf"))
    _, last = relational_memory(inputs, memory, parameters, options, backend="triton")
    assert torch.equal(last, memory)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(problem: Callable[..., Any], mode: Any) -> None:
    tiny = problem(steps=3, batch=1).to(torch.float64, DEVICE)
    expected, _ = relational_memory(*tiny[:4], backend="reference")
    with mode():
        outputs, last = relational_memory(*tiny[:4], backend="triton")
    torch.testing.assert_close(outputs, expected, atol=1e-11, rtol=1e-9)
    assert torch.equal(last, outputs[-1])
    assert not outputs.requires_grad


def test_backward_runs_twice_and_only_once_differentiable(problem: Callable[..., Any]) -> None:
    tiny = problem(steps=2, batch=1).to(torch.float64, DEVICE)
    outputs, _ = relational_memory(*tiny[:4], backend="triton")
    (first,) = torch.autograd.grad(outputs.pow(2).sum(), tiny.inputs, retain_graph=True)
    (second,) = torch.autograd.grad(outputs.pow(2).sum(), tiny.inputs, retain_graph=True)
    assert torch.equal(first, second)
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(outputs.sum(), tiny.inputs, create_graph=True)


def test_pieces_that_are_recomputed_keep_no_buffers(problem: Callable[..., Any]) -> None:
    from relational_rnn.ops.relational_memory.triton.graphs import Loan  # needs triton

    def lent() -> int:
        gc.collect()
        return sum(type(x) is Loan and x.loop is not None for x in gc.get_objects())

    before = lent()
    tiny = problem(steps=3, batch=1).to(torch.float64, DEVICE)
    same = problem(steps=3, batch=1).to(torch.float64, DEVICE)
    expected, _ = relational_memory(*same[:4], backend="reference")
    outputs, _ = relational_memory(*tiny[:4], backend="triton", checkpoint_every=1)
    assert lent() == before
    for found in (expected, outputs):
        found.pow(2).sum().backward()
    for name, value in same.gradients().items():
        torch.testing.assert_close(tiny.gradients()[name], value, atol=1e-11, rtol=1e-9)


def test_more_than_one_block_is_refused(problem: Callable[..., Any]) -> None:
    tiny = problem(**TINY, blocks=2).to(torch.float64, DEVICE)
    with pytest.raises(ValueError, match="num_blocks must be 1, got 2"):
        relational_memory(*tiny[:4], backend="triton")
    relational_memory(*tiny[:4])


@on_device
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_replayed_graphs_equal_single_launches(problem: Callable[..., Any], autocast: bool) -> None:
    """The first run is launched kernel by kernel, the second captured, the rest replayed."""
    budget = {"atol": 1e-2, "rtol": 1e-2} if autocast else {"atol": 1e-5, "rtol": 1e-5}
    shape = {"steps": 11, "batch": 6, "slots": 2, "layers": 3}
    for seed in (0, 0, 1, 2):  # new numbers in the same buffers
        expected = run(
            problem(**shape, seed=seed).to(torch.float32, DEVICE), "fused", autocast=autocast
        )
        actual = run(
            problem(**shape, seed=seed).to(torch.float32, DEVICE), "triton", autocast=autocast
        )
        for name, value in expected.items():
            scale = value.abs().max().clamp(min=1.0)
            torch.testing.assert_close(actual[name] / scale, value / scale, **budget)


@on_device
def test_runs_that_wait_for_their_backward_pass_share_nothing(
    problem: Callable[..., Any],
) -> None:
    shape = {"steps": 4, "batch": 5}
    alone = [run(problem(**shape, seed=s).to(torch.float64, DEVICE), "triton") for s in range(3)]
    problems = [problem(**shape, seed=s).to(torch.float64, DEVICE) for s in range(3)]
    losses = []
    for inputs, memory, parameters, options, d_outputs, d_memory in problems:
        outputs, last = relational_memory(inputs, memory, parameters, options, backend="triton")
        losses.append((outputs * d_outputs).sum() + (last * d_memory).sum())
    for loss in losses:
        loss.backward()
    for one, expected in zip(problems, alone, strict=True):
        for name, value in one.gradients().items():
            torch.testing.assert_close(value.cpu(), expected[name], atol=1e-12, rtol=1e-12)
