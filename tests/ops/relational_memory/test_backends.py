"""Every backend against the reference: outputs, last memory and every gradient, on odd shapes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relational_rnn.ops.relational_memory import BACKENDS, relational_memory

# float64: two orders of the same sums. float32: forty roundings deep, sums of up to 500 terms.
BUDGET = {
    torch.float64: {"atol": 1e-11, "rtol": 1e-9},
    torch.float32: {"atol": 1e-4, "rtol": 1e-3},
}
SHAPES: dict[str, dict[str, Any]] = {
    "published proportions": {"heads": 4, "head": 6, "key": 2, "layers": 3, "input_size": 6},
    "one step": {"steps": 1},
    "one of everything": {"steps": 1, "batch": 1, "input_size": 1, "head": 2, "key": 1, "heads": 1},
    "one layer": {"layers": 1},
    "four layers": {"layers": 4},
    "several slots": {"slots": 3},
    "more slots than width": {"slots": 9, "heads": 1, "head": 4},
    "memory gate": {"gate": "memory", "slots": 2},
    "memory gate, one slot": {"gate": "memory"},
    "no gate": {"gate": None},
    "no gate, several slots": {"gate": None, "slots": 4},
    "two blocks": {"blocks": 2},
    "three blocks, several slots": {"blocks": 3, "slots": 3, "gate": "memory"},
    "two blocks, no gate": {"blocks": 2, "gate": None, "slots": 2},
    "matrix inputs": {"rows": 3, "slots": 2},
    "matrix inputs, one slot": {"rows": 2},
    "matrix inputs, two blocks": {"rows": 2, "blocks": 2, "slots": 2},
    "wide input": {"input_size": 40},
    "raw gate inputs": {"gate_inputs": "raw", "slots": 2},
    "raw gate inputs, one slot, wide input": {"gate_inputs": "raw", "input_size": 40},
    "raw gate inputs, matrix inputs": {"gate_inputs": "raw", "rows": 3, "gate": "memory"},
    "raw gate inputs, two blocks": {
        "gate_inputs": "raw",
        "blocks": 2,
        "slots": 2,
        "layers": 1,
    },
    "narrow input, many rows": {"input_size": 2, "steps": 9, "batch": 7},
    "a large batch": {"batch": 17, "slots": 2},
    "a sequence worth packing": {"steps": 17, "batch": 16, "layers": 3},
}
# triton: test_triton_cases.py; native, in float32 alone: test_native.py
ON_CPU = [name for name in BACKENDS if name not in ("triton", "native")]
FAST = [name for name in ON_CPU if name != "reference"]


def run(problem: Any, backend: str, *, autocast: bool = False) -> dict[str, Tensor]:
    inputs, memory, parameters, options, d_outputs, d_memory = problem
    with torch.autocast("cpu", enabled=autocast):
        outputs, last = relational_memory(inputs, memory, parameters, options, backend=backend)
    ((outputs * d_outputs).sum() + (last * d_memory).sum()).backward()
    return {"outputs": outputs.detach(), "last": last.detach(), **problem.gradients()}


@pytest.mark.parametrize("dtype", BUDGET, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("backend", FAST)
def test_equals_reference(
    problem: Callable[..., Any], backend: str, shape: dict[str, Any], dtype: torch.dtype
) -> None:
    expected = run(problem(**shape), "reference")
    actual = run(problem(**shape).to(dtype), backend)
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


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("backend", FAST)
def test_bfloat16_products_err_no_more_than_twice_as_eager(
    problem: Callable[..., Any], backend: str, shape: dict[str, Any]
) -> None:
    exact = run(problem(**shape), "reference")
    eager = run(problem(**shape).to(torch.float32), "reference", autocast=True)
    actual = run(problem(**shape).to(torch.float32), backend, autocast=True)
    total = {"eager": 0.0, "actual": 0.0}
    for name, value in exact.items():
        scale = value.norm() + 1e-3 * value.numel() ** 0.5  # a gradient may be exactly zero
        total["eager"] += float((eager[name] - value).norm() / scale)
        total["actual"] += float((actual[name] - value).norm() / scale)
    for name in ("outputs", "last"):
        error = (actual[name] - exact[name]).abs().max()
        assert error <= 2 * (eager[name] - exact[name]).abs().max() + 1e-3, name
    assert total["actual"] <= 2 * total["eager"]


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("gate", ["unit", "memory", None])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("slots", [1, 2])
def test_gradcheck(
    problem: Callable[..., Any], backend: str, gate: Any, blocks: int, slots: int
) -> None:
    inputs, memory, parameters, options, _, _ = problem(
        steps=3,
        batch=2,
        input_size=2,
        heads=2,
        head=2,
        key=1,
        gate=gate,
        blocks=blocks,
        slots=slots,
    )

    def function(inputs: Tensor, memory: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        rest = [None] * (len(parameters) - len(tensors))
        return relational_memory(
            inputs, memory, type(parameters)(*tensors, *rest), options, backend=backend
        )

    tensors = [x for x in parameters if x is not None]
    assert torch.autograd.gradcheck(function, (inputs, memory, *tensors), fast_mode=True)


@pytest.mark.parametrize("backend", ON_CPU)
def test_one_call_equals_many(problem: Callable[..., Any], backend: str) -> None:
    inputs, memory, parameters, options, _, _ = problem(steps=7, slots=2)
    whole, last = relational_memory(inputs, memory, parameters, options, backend=backend)
    pieces = []
    for piece in inputs.split([1, 2, 4]):
        outputs, memory = relational_memory(piece, memory, parameters, options, backend=backend)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(memory, last, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("backend", FAST)
def test_tensors_with_gaps(problem: Callable[..., Any], backend: str, slots: int) -> None:
    """As the memory of one process out of several has them, when a run is resumed."""

    def gaps(x: Tensor) -> Tensor:
        view = torch.stack((x.detach(), torch.zeros_like(x)), dim=-1)[..., 0]
        assert not view.is_contiguous()
        return view.requires_grad_(x.requires_grad)

    names = ("inputs", "memory", "d_outputs", "d_memory")
    expected = run(problem(slots=slots, steps=3), backend)
    same = problem(slots=slots, steps=3)
    actual = run(same._replace(**{name: gaps(getattr(same, name)) for name in names}), backend)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("every", [None, 2])
def test_backward_runs_twice_and_only_once_differentiable(
    problem: Callable[..., Any], backend: str, every: int | None
) -> None:
    inputs, *others = problem()[:4]
    outputs, _ = relational_memory(inputs, *others, backend=backend, checkpoint_every=every)
    (first,) = torch.autograd.grad(outputs.pow(2).sum(), inputs, retain_graph=True)
    (second,) = torch.autograd.grad(outputs.pow(2).sum(), inputs, retain_graph=True)
    assert torch.equal(first, second)
    for loss in (outputs.sum(), outputs.pow(2).sum()):  # the gradient of a sum depends on nothing
        with pytest.raises(RuntimeError, match="only once"):
            torch.autograd.grad(loss, inputs, create_graph=True)


def test_the_reference_can_be_differentiated_twice(problem: Callable[..., Any]) -> None:
    inputs, *others = problem(steps=2, batch=1)[:4]

    def run(inputs: Tensor) -> Tensor:
        return relational_memory(inputs, *others, backend="reference")[0]

    assert torch.autograd.gradgradcheck(run, inputs)


def test_does_not_change_its_arguments(problem: Callable[..., Any]) -> None:
    inputs, memory, parameters, options, _, _ = problem(slots=2)
    before = [x.detach().clone() for x in (inputs, memory, *parameters)]
    run(problem(slots=2), "fused")
    relational_memory(inputs, memory, parameters, options)[0].sum().backward()
    for x, copy in zip((inputs, memory, *parameters), before, strict=True):
        assert torch.equal(x, copy)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("backend", FAST)
def test_backward_may_be_called_under_autocast(
    problem: Callable[..., Any], backend: str, slots: int
) -> None:
    outside, inside = (problem(slots=slots).to(torch.float32) for _ in range(2))
    run(outside, backend, autocast=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, last = relational_memory(*inside[:4], backend=backend)
        ((outputs * inside.d_outputs).sum() + (last * inside.d_memory).sum()).backward()
    for name, value in outside.gradients().items():
        # what is left to autograd rounds its products to bfloat16 as well: 8 bits, a few in a row
        error = (inside.gradients()[name] - value).norm()
        assert error <= 0.02 * value.norm() + 1e-3, name
