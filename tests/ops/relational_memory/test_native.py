"""The native core against the reference: outputs, last memory and every gradient, in float32."""

import contextlib
import copy
import gc
import json
import os
import shutil
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from relational_rnn import RelationalMemory
from relational_rnn.ops import precision
from relational_rnn.ops.relational_memory import dispatch, relational_memory
from relational_rnn.ops.relational_memory.native import build, recurrence

SEEDS = 8
GOLDENS = Path(__file__).parents[2] / "goldens" / "rmc"
BUDGET = {"atol": 1e-4, "rtol": 1e-3}  # float32: forty roundings deep, sums of up to 500 terms
SHAPES: dict[str, dict[str, Any]] = {
    "one of everything": {"steps": 1, "batch": 1, "input_size": 1, "heads": 1, "head": 2, "key": 1},
    "one step": {"steps": 1},
    "published proportions": {"heads": 4, "head": 6, "key": 2, "layers": 3, "input_size": 6},
    "one layer": {"layers": 1},
    "four layers": {"layers": 4},
    "several slots": {"slots": 3},
    "more slots than width": {"slots": 9, "heads": 1, "head": 4},
    "thirteen slots, sizes of five": {"slots": 13, "heads": 3, "head": 5, "key": 5, "rows": 3},
    "memory gate": {"gate": "memory", "slots": 2},
    "memory gate, one slot": {"gate": "memory"},
    "no gate": {"gate": None},
    "no gate, several slots": {"gate": None, "slots": 4},
    "no gate, matrix inputs, one layer": {"gate": None, "rows": 2, "layers": 1},
    "matrix inputs": {"rows": 3, "slots": 2},
    "matrix inputs, one slot": {"rows": 2},
    "wide input": {"input_size": 40},
    "raw gate inputs": {"gate_inputs": "raw", "slots": 2, "heads": 4},
    "raw gate inputs, matrix inputs, wide input": {
        "gate_inputs": "raw",
        "rows": 3,
        "gate": "memory",
        "input_size": 40,
    },
    "narrow input, many rows": {"input_size": 2, "steps": 9, "batch": 7},
    "several slices": {"batch": 101, "slots": 4, "steps": 3},
    "several gradient chunks": {"steps": 41, "batch": 9, "heads": 4, "head": 8, "key": 8},
    "whole vectors": {"steps": 4, "batch": 37, "slots": 4, "heads": 4, "head": 16, "key": 16},
    "several panels": {"batch": 12, "heads": 5, "head": 27, "key": 16, "input_size": 70},
    "deep products": {"batch": 20, "steps": 2, "heads": 3, "head": 90, "key": 9, "input_size": 300},
    "a few rows with deep products, over steps": {"steps": 4, "batch": 2, "heads": 3, "head": 90},
    "few rows, whole vectors": {"steps": 2, "batch": 2, "slots": 3, "heads": 2, "head": 16},
    "most rows of a step that are few": {"steps": 1, "batch": 96, "heads": 3, "head": 27, "key": 9},
    "most rows of all steps that are few": {"steps": 4, "batch": 8, "slots": 3, "gate": "memory"},
    "most input rows that are few": {"steps": 1, "batch": 12, "rows": 8, "input_size": 40},
    "few rows, too many input rows": {"steps": 1, "batch": 10, "rows": 10, "heads": 3, "head": 17},
    "few rows, too many input rows, raw": {"rows": 40, "batch": 3, "gate_inputs": "raw"},
    "few rows, deep products": {"steps": 2, "heads": 3, "head": 90, "key": 20, "input_size": 300},
}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    if not any(map(shutil.which, build.COMPILERS)) and "CXX" not in os.environ:
        pytest.skip("no C++ compiler")
    assert build.why_not() is None


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(problem: Any, backend: str = "native", **arguments: Any) -> dict[str, Tensor]:
    inputs, memory, parameters, options, d_outputs, d_memory = problem
    outputs, last = relational_memory(
        inputs, memory, parameters, options, backend=backend, **arguments
    )
    ((outputs * d_outputs).sum() + (last * d_memory).sum()).backward()
    return {"outputs": outputs.detach(), "last": last.detach(), **problem.gradients()}


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


def assert_as_exact_as_the_reference(
    problem: Callable[..., Any], shape: dict[str, Any], *, low: bool = False
) -> None:
    """Each tensor's error is at most twice the reference's, in float32 or with bfloat16 products.

    It is the geometric mean over some seeds: long recurrences amplify the rounding of some by far.
    """
    errors: dict[str, dict[str, float]] = {}

    def rounded(seed: int, backend: str) -> dict[str, Tensor]:
        given = problem(**shape, seed=seed).to(torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return run(given, backend)

    for seed in range(SEEDS):
        exact = run(problem(**shape, seed=seed), "reference")
        found = {"reference": rounded(seed, "reference")}
        for count in (1, 5):
            with threads(count):
                found[f"native, {count}"] = rounded(seed, "native")
        for name, value in exact.items():
            each = errors.setdefault(name, dict.fromkeys(found, 1.0))
            for which, tensors in found.items():
                assert tensors.keys() == exact.keys()
                assert tensors[name].dtype == torch.float32, name
                assert tensors[name].isfinite().all(), name
                error = rms(tensors[name] - value) / max(rms(value), 1e-3)
                each[which] *= (error + 1e-8) ** (1 / SEEDS)
    for name, each in errors.items():
        most = 2 * each["reference"] + 1e-7
        for which, error in each.items():
            assert error <= most, f"{name}: {which} {error:.1e}, {each}"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_is_as_exact_as_the_reference(problem: Callable[..., Any], shape: dict[str, Any]) -> None:
    assert_as_exact_as_the_reference(problem, shape)


@pytest.fixture
def low() -> None:
    if not build.multiplies_bfloat16():
        pytest.skip("a CPU without AMX")


LOW_SHAPES: dict[str, dict[str, Any]] = {
    "one tile": {"batch": 16, "steps": 7, "heads": 2, "head": 8, "key": 4, "input_size": 32},
    "a row too many": {"batch": 33, "steps": 4, "heads": 3, "head": 11, "key": 11},
    "several columns of tiles": {"batch": 49, "heads": 5, "head": 27, "key": 16, "input_size": 70},
    "narrow": {"batch": 50, "heads": 1, "head": 2, "key": 1, "input_size": 1, "slots": 2},
    "a few gradients in float32": {"batch": 40, "steps": 3, "slots": 1, "rows": 3},
    "several slices and chunks of gradients": {"batch": 330, "steps": 17, "key": 1},
    "many gradients": {"batch": 70, "steps": 17, "heads": 2, "head": 9, "key": 3, "layers": 3},
    "inputs that are projected": {"steps": 2, "batch": 60, "input_size": 90, "heads": 4},
}


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(
    "shape", [*SHAPES.values(), *LOW_SHAPES.values()], ids=[*SHAPES, *LOW_SHAPES]
)
def test_bfloat16_is_as_exact_as_the_reference(
    problem: Callable[..., Any], shape: dict[str, Any]
) -> None:
    assert_as_exact_as_the_reference(problem, shape, low=True)


@pytest.mark.usefixtures("low")
def test_bfloat16_products_of_many_rows_are_rounded(problem: Callable[..., Any]) -> None:
    shape = {"batch": 64, "steps": 2, "heads": 4, "head": 16, "key": 16}
    exact = run(problem(**shape), "reference")["outputs"]
    with torch.autocast("cpu", torch.bfloat16):
        low = run(problem(**shape).to(torch.float32))["outputs"]
    assert low.dtype == torch.float32
    assert 1e-4 < rms(low - exact) / rms(exact) < 2e-2  # eight bits; float32 has 1e-7


@pytest.mark.usefixtures("low")
def test_bfloat16_repeats_to_the_last_bit_and_auto_takes_it(problem: Callable[..., Any]) -> None:
    given = [problem(batch=60, slots=4, steps=6).to(torch.float32) for _ in range(2)]
    with threads(2), torch.autocast("cpu", torch.bfloat16):
        assert dispatch.choose(*given[0][:4]) == "native"
        first, second = map(run, given)
    for name, value in first.items():
        assert torch.equal(second[name], value), name


@pytest.mark.usefixtures("low")
def test_bfloat16_without_gradients_and_in_pieces(problem: Callable[..., Any]) -> None:
    shape = {"batch": 40, "slots": 2, "steps": 7}
    given = problem(**shape).to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        expected = run(given)
        with torch.no_grad():
            outputs, _ = relational_memory(*given[:4], backend="native")
        pieces = run(problem(**shape).to(torch.float32), checkpoint_every=3)
    assert torch.equal(outputs, expected["outputs"])
    for name, value in expected.items():
        # sums of the gradients' pieces are in another order, of inputs that were rounded alike
        torch.testing.assert_close(pieces[name], value, rtol=2e-2, atol=2e-2 * rms(value))


@pytest.mark.usefixtures("low")
def test_bfloat16_inputs_without_autocast(problem: Callable[..., Any]) -> None:
    given = problem(batch=60, slots=2).to(torch.float32)
    low = given._replace(inputs=given.inputs.detach().bfloat16().requires_grad_())
    rounded = given._replace(inputs=low.inputs.detach().float().requires_grad_())
    found = run(low)
    with torch.autocast("cpu", torch.bfloat16):
        expected = run(rounded)
    assert found["inputs"].dtype == torch.bfloat16
    assert torch.equal(found["outputs"], expected["outputs"])


@pytest.mark.usefixtures("low")
def test_bfloat16_not_a_number_stays(problem: Callable[..., Any]) -> None:
    given = problem(batch=60, slots=2).to(torch.float32)
    with torch.no_grad():
        given.memory[0, 0, 0] = float("nan")
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = relational_memory(*given[:4], backend="native")
    assert outputs[:, 0].isnan().all()
    assert outputs[:, 1:].isfinite().all()


def test_bfloat16_on_a_cpu_without_amx(
    problem: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)
    given = problem().to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert dispatch.choose(*given[:4]) == "fused"
        with pytest.raises(ValueError, match=r"'native' cannot run: .* need a CPU with AMX"):
            relational_memory(*given[:4], backend="native")


@pytest.mark.parametrize("start", ["rand", "std"])
@pytest.mark.parametrize("path", sorted(GOLDENS.glob("*.npz")), ids=lambda path: path.stem)
def test_equals_the_original(path: Path, start: str) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    config = json.loads(str(arrays.pop("config_json")))
    core, shape = config["core"], config["input_shape"]
    if core["num_blocks"] > 1:
        pytest.skip("the native core has one block")
    module = RelationalMemory.from_sonnet(
        {name.removeprefix("var/"): value for name, value in arrays.items() if name[:4] == "var/"},
        input_size=shape[-1],
        mem_slots=core["mem_slots"],
        head_size=core["head_size"],
        num_heads=core["num_heads"],
        key_size=core["key_size"],
        attention_mlp_layers=core["attention_mlp_layers"],
        gate_style=core["gate_style"],
        forget_bias=core["forget_bias"],
        input_bias=core["input_bias"],
        input_rows=shape[0] if config["treat_input_as_matrix"] else None,
        backend="native",
    ).float()

    def given(name: str) -> Tensor:
        return torch.from_numpy(arrays[name]).float()

    inputs = given("inputs").requires_grad_()
    memory = given(f"{start}/init_memory").requires_grad_()
    output, final = module(inputs, memory)
    (output * given("loss_weights")).sum().backward()
    for parameter in module.parameters():
        parameter.data = parameter.grad
    found = {
        "outputs": output.detach(),
        "final_memory": final.detach(),
        "grad/inputs": inputs.grad,
        "grad/init_memory": memory.grad,
        **{f"grad/var/{name}": torch.from_numpy(x) for name, x in module.to_sonnet().items()},
    }
    for name, value in found.items():
        expected = given(f"{start}/{name}")
        scale = expected.abs().max().clamp(min=1.0)
        torch.testing.assert_close(value / scale, expected / scale, **BUDGET, msg=name)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("used", ["outputs", "last"])
def test_gradient_of_one_result(problem: Callable[..., Any], used: str, slots: int) -> None:
    expected, actual = (problem(slots=slots).to(torch.float32) for _ in range(2))
    for each, backend in ((expected, "reference"), (actual, "native")):
        outputs, last = relational_memory(*each[:4], backend=backend)
        loss = (outputs * each.d_outputs) if used == "outputs" else (last * each.d_memory)
        loss.sum().backward()
    for name, value in expected.gradients().items():
        torch.testing.assert_close(actual.gradients()[name], value, **BUDGET)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_repeats_to_the_last_bit(problem: Callable[..., Any], count: int) -> None:
    shape = {"batch": 60, "slots": 4, "steps": 6}
    with threads(count):
        first, second = (run(problem(**shape).to(torch.float32)) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(second[name], value), name


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"batch": 60, "slots": 4, "steps": 6}, id="many rows"),
        pytest.param({"batch": 48, "steps": 2}, id="few rows"),
        pytest.param({"batch": 48, "steps": 3}, id="few rows, more steps"),
        pytest.param({"batch": 10, "steps": 1, "rows": 10}, id="many input rows"),
    ],
)
def test_threads_change_no_more_than_the_last_bits(
    problem: Callable[..., Any], shape: dict[str, Any]
) -> None:
    results = []
    for count in (1, 2, 7):
        with threads(count):
            results.append(run(problem(**shape).to(torch.float32)))
    for name, value in results[0].items():
        for other in results[1:]:
            torch.testing.assert_close(other[name], value, atol=1e-5, rtol=1e-4)


def test_the_number_of_threads_may_change_before_the_backward_pass(
    problem: Callable[..., Any],
) -> None:
    expected, actual = (problem(batch=5, slots=2).to(torch.float32) for _ in range(2))
    with threads(3):
        run(expected)
        outputs, last = relational_memory(*actual[:4], backend="native")
    with threads(1):
        ((outputs * actual.d_outputs).sum() + (last * actual.d_memory).sum()).backward()
    for name, value in expected.gradients().items():
        assert torch.equal(actual.gradients()[name], value), name


def test_checkpoints_give_the_same_gradients(problem: Callable[..., Any]) -> None:
    expected = run(problem(steps=7, slots=2).to(torch.float32))
    actual = run(problem(steps=7, slots=2).to(torch.float32), checkpoint_every=3)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, atol=1e-5, rtol=1e-4)


def test_no_gradients_no_tape(problem: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(steps=40, slots=3).to(torch.float32)
    allocate, sizes = Tensor.new_empty, []

    def noted(like: Tensor, *size: Any, **kwargs: Any) -> Tensor:
        sizes.append(allocate(like, *size, **kwargs).numel())
        return allocate(like, *size, **kwargs)

    monkeypatch.setattr(Tensor, "new_empty", noted)
    with torch.no_grad():
        without, _ = relational_memory(*given[:4], backend="native")
    few, sizes = sum(sizes), []
    outputs, _ = relational_memory(*given[:4], backend="native")
    assert torch.equal(without, outputs)
    assert few < sum(sizes) / 4


def test_transformed_without_gradients_is_refused(problem: Callable[..., Any]) -> None:
    given = problem().to(torch.float32)
    several = given.inputs.detach().expand(2, *given.inputs.shape)

    def outputs(inputs: Tensor) -> Tensor:
        return relational_memory(inputs, *given[1:4], backend="native")[0]

    with torch.no_grad(), pytest.raises(RuntimeError):
        torch.func.vmap(outputs)(several)


def test_results_do_not_share_memory(problem: Callable[..., Any]) -> None:
    given = problem(steps=1).to(torch.float32)
    with torch.no_grad():
        outputs, last = relational_memory(*given[:4], backend="native")
        expected = outputs.clone()
        last.zero_()
    assert torch.equal(outputs, expected)


def test_parameters_that_are_frozen(problem: Callable[..., Any]) -> None:
    whole = run(problem(slots=2).to(torch.float32))
    given = problem(slots=2).to(torch.float32)
    for tensor in (given.inputs, given.memory, *given.parameters[:-1]):
        tensor.requires_grad_(False)
    outputs, last = relational_memory(*given[:4], backend="native")
    ((outputs * given.d_outputs).sum() + (last * given.d_memory).sum()).backward()
    assert given.inputs.grad is None
    torch.testing.assert_close(given.parameters[-1].grad, whole["gate_memory_bias"])


def test_tensors_with_gaps(problem: Callable[..., Any]) -> None:
    def gaps(x: Tensor) -> Tensor:
        view = torch.stack((x.detach(), torch.zeros_like(x)), dim=-1)[..., 0]
        return view.requires_grad_(x.requires_grad)

    expected = run(problem(slots=3).to(torch.float32))
    given = problem(slots=3).to(torch.float32)
    names = ("inputs", "memory", "d_outputs", "d_memory")
    actual = run(given._replace(**{name: gaps(getattr(given, name)) for name in names}))
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.parametrize("every", [None, 2])
def test_backward_runs_twice_and_only_once_differentiable(
    problem: Callable[..., Any], every: int | None
) -> None:
    inputs, *others = problem().to(torch.float32)[:4]
    outputs, _ = relational_memory(inputs, *others, backend="native", checkpoint_every=every)
    (first,) = torch.autograd.grad(outputs.pow(2).sum(), inputs, retain_graph=True)
    (second,) = torch.autograd.grad(outputs.pow(2).sum(), inputs, retain_graph=True)
    assert torch.equal(first, second)
    for loss in (outputs.sum(), outputs.pow(2).sum()):
        with pytest.raises(RuntimeError, match="only once"):
            torch.autograd.grad(loss, inputs, create_graph=True)


def test_changed_weights_are_noticed(problem: Callable[..., Any]) -> None:
    given = problem().to(torch.float32)
    outputs, _ = relational_memory(*given[:4], backend="native")
    with torch.no_grad():
        given.parameters.mlp_weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


def test_gates_can_be_closed_for_good(problem: Callable[..., Any]) -> None:
    given = problem(slots=2).to(torch.float32)
    options = given.options._replace(forget_bias=float("inf"), input_bias=-float("inf"))
    memory = torch.eye(2, 6).repeat(3, 1, 1)
    outputs, last = relational_memory(
        given.inputs, memory, given.parameters, options, backend="native"
    )
    assert torch.equal(last, memory)
    assert all(torch.equal(output, memory) for output in outputs)


def test_not_a_number_stays(problem: Callable[..., Any]) -> None:
    given = problem(batch=2, slots=2).to(torch.float32)
    with torch.no_grad():
        given.memory[0, 0, 0] = float("nan")
    outputs, _ = relational_memory(*given[:4], backend="native")
    assert outputs[:, 0].isnan().all()
    assert outputs[:, 1].isfinite().all()


def test_results_are_freed_at_once(problem: Callable[..., Any]) -> None:
    given = problem().to(torch.float32)
    gc.collect()
    gc.disable()
    try:
        outputs, last = relational_memory(*given[:4], backend="native")
        alive = weakref.ref(outputs), weakref.ref(outputs.grad_fn)
        del outputs, last
        assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("grad", [True, False])
def test_forward_mode_is_refused(problem: Callable[..., Any], grad: bool) -> None:
    given = problem().to(torch.float32)
    frozen = [None if x is None else x.detach() for x in given.parameters]
    with torch.set_grad_enabled(grad), torch.autograd.forward_ad.dual_level():
        inputs = torch.autograd.forward_ad.make_dual(given.inputs.detach(), given.inputs.detach())
        with pytest.raises(RuntimeError, match="jvp"):
            relational_memory(
                inputs,
                given.memory.detach(),
                type(given.parameters)(*frozen),
                given.options,
                backend="native",
            )


def test_trains_like_the_reference() -> None:
    losses: dict[str, list[float]] = {}
    for backend in ("reference", "native"):
        torch.manual_seed(0)
        core = RelationalMemory(3, 2, 4, 2, backend=backend)
        head = torch.nn.Linear(16, 3)
        optimizer = torch.optim.Adam([*core.parameters(), *head.parameters()], lr=1e-2)
        inputs = torch.randn(5, 16, 3)
        losses[backend] = []
        for _ in range(200):
            optimizer.zero_grad()
            loss = (head(core(inputs)[0][1:]) - inputs[:-1]).square().mean()
            loss.backward()
            optimizer.step()
            losses[backend].append(loss.item())
    # later the ReLUs' kinks amplify rounding: then the fused loop differs as much
    np.testing.assert_allclose(losses["native"][:50], losses["reference"][:50], rtol=1e-4)
    for name in losses:
        assert losses[name][-1] < losses[name][0] / 5


@pytest.mark.parametrize("batch_first", [False, True])
def test_module(batch_first: bool) -> None:
    torch.manual_seed(1)
    core = RelationalMemory(5, 3, 4, 2, batch_first=batch_first, backend="native")
    reference = RelationalMemory(5, 3, 4, 2, batch_first=batch_first, backend="reference")
    reference.load_state_dict(core.state_dict())
    inputs = torch.randn(4, 6, 5)
    for each in (core, reference):
        each(inputs)[0].square().sum().backward()
    twin = copy.deepcopy(core)
    assert torch.equal(twin(inputs)[0], core(inputs)[0])
    for own, other in zip(core.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, **BUDGET)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch.compile itself
def test_compiled_module_calls_it() -> None:
    core = RelationalMemory(5, 3, 4, 2, backend="native")
    inputs = torch.randn(4, 6, 5)
    whole = torch.compile(core, backend="eager")
    assert torch.equal(whole(inputs)[0], core(inputs)[0])


def test_several_python_threads(problem: Callable[..., Any]) -> None:
    expected = run(problem(batch=20, slots=3).to(torch.float32))
    results: list[dict[str, Tensor]] = []

    def work() -> None:
        results.extend(run(problem(batch=20, slots=3).to(torch.float32)) for _ in range(5))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 20
    for result in results:
        for name, value in expected.items():
            assert torch.equal(result[name], value), name


def test_backward_in_another_python_thread(problem: Callable[..., Any]) -> None:
    expected, actual = (problem(batch=20, slots=3).to(torch.float32) for _ in range(2))
    with threads(2):
        run(expected)
        outputs, last = relational_memory(*actual[:4], backend="native")
        loss = (outputs * actual.d_outputs).sum() + (last * actual.d_memory).sum()
        worker = threading.Thread(target=loss.backward)
        worker.start()
        worker.join()
    for name, value in expected.gradients().items():
        assert torch.equal(actual.gradients()[name], value), name


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_uses_the_openmp_library_of_pytorch(problem: Callable[..., Any]) -> None:
    with threads(2):
        run(problem(batch=8).to(torch.float32))
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    libraries = {line.split()[-1] for line in maps if "libgomp" in line or "libomp" in line}
    assert len(libraries) == 1


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        pytest.param({}, torch.float64, "must be in float32", id="float64"),
        pytest.param({"blocks": 2}, torch.float32, "num_blocks must be 1, got 2", id="blocks"),
    ],
)
def test_what_it_cannot_do(
    problem: Callable[..., Any],
    shape: dict[str, Any],
    dtype: torch.dtype,
    reason: str,
) -> None:
    given = problem(**shape).to(dtype)
    with pytest.raises(ValueError, match=f"'native' cannot run: .*{reason}"):
        relational_memory(*given[:4], backend="native")
    assert dispatch.choose(*given[:4]) == "fused"


@pytest.mark.parametrize(
    "other",
    [
        {"num_heads": 1},
        {"key_size": 4},
        {"gate_inputs": "raw"},
        {"gate_style": "memory"},
        {"gate_style": None},
        {"head_size": 5, "key_size": 4},  # with as many rows of queries, keys and values
        {"head_size": 1, "key_size": 6},
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_weights(
    problem: Callable[..., Any], other: dict[str, Any]
) -> None:
    # Its kernel takes all sizes from the options and would read past the end of a weight.
    given = problem().to(torch.float32)
    options = given.options._replace(**other)
    for backend in ("auto", "native"):
        with pytest.raises(ValueError, match=r"(weight|bias|memory) must have "):
            relational_memory(*given[:3], options, backend=backend)


@pytest.mark.parametrize("name", [*recurrence.CORE_WEIGHTS, "memory"])
def test_tensors_that_do_not_fit_each_other(problem: Callable[..., Any], name: str) -> None:
    given = problem(layers=3).to(torch.float32)
    memory, parameters = given.memory, given.parameters
    if name == "memory":
        memory = memory[:1]
    else:
        shorter = getattr(parameters, name)[..., :-1]
        parameters = parameters._replace(**{name: shorter})
    with pytest.raises((ValueError, RuntimeError), match=r"must have|size|shape"):
        relational_memory(given.inputs, memory, parameters, given.options, backend="native")


def test_auto_leaves_bfloat16_parameters_to_the_loop(
    problem: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: False)
    given = problem().to(torch.bfloat16)
    outputs, _ = relational_memory(*given[:4])
    assert outputs.dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"parameters must be in float32, .*bfloat16"):
        relational_memory(*given[:4], backend="native")


def test_auto_takes_it(problem: Callable[..., Any]) -> None:
    given = problem().to(torch.float32)
    assert dispatch.choose(*given[:4]) == "native"


def in_worker(index: int) -> Tensor:
    torch.manual_seed(0)
    core = RelationalMemory(5, 3, 4, 2, backend="native")
    return core(torch.ones(2, 3, 5))[0].detach()


@pytest.mark.slow
def test_data_loader_workers_that_are_spawned() -> None:
    expected = in_worker(0)
    loader = torch.utils.data.DataLoader(
        range(4), collate_fn=in_batch, num_workers=2, multiprocessing_context="spawn"
    )
    assert all(torch.equal(found, expected) for found in loader)


def in_batch(indices: list[int]) -> Tensor:
    return in_worker(indices[0])


WIDTHS = [
    pytest.param("-march=x86-64-v2", id="SSE4.2"),
    pytest.param("-march=x86-64-v3", id="AVX2"),
    pytest.param("-DRRNN_WIDTH=1", id="scalar"),
    pytest.param("-DRRNN_WIDTH=4", id="four"),
    pytest.param("-DRRNN_WIDTH=8", id="eight"),
    pytest.param("-DRRNN_WIDTH=16", id="sixteen"),
]


@pytest.mark.slow
@pytest.mark.parametrize("flags", WIDTHS)
def test_other_vectors(
    problem: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    if "x86" in flags and build._tuning() != "-march=native":
        pytest.skip("not an x86 CPU")
    monkeypatch.setenv("RRNN_NATIVE_FLAGS", flags)
    library = build.load(build.build())
    monkeypatch.setattr(build, "library", lambda: library)
    for shape in SHAPES.values():
        assert_as_exact_as_the_reference(problem, shape)
