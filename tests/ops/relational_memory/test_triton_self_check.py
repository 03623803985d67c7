"""What `"auto"` does on a GPU: the Triton path if it agrees with the reference there, else fused.

For a CUDA device (`make test-gpu`); `test_triton_interpreter.py` runs the same tests on a CPU.
"""

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relational_rnn.ops.precision import multiplies_bfloat16
from relational_rnn.ops.relational_memory import dispatch, relational_memory

pytest.importorskip("triton", reason="the package 'triton' is not installed")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no CUDA device"),
]
TINY = {"steps": 1, "batch": 1, "layers": 1}


class Kernel:
    """Launches the real kernel, then spoils one of its results."""

    def __init__(self, kernel: Any, result: int, factor: float) -> None:
        self.kernel, self.result, self.factor = kernel, result, factor

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(*tensors: Tensor, **constants: Any) -> None:
            self.kernel[grid](*tensors, **constants)
            tensors[self.result].mul_(self.factor)

        return launch


class Raises:
    """A kernel that does not compile."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        raise RuntimeError("no such instruction\nat line 3")


class Watch:
    """Counts checks, and notes which backend ran."""

    def __init__(self) -> None:
        self.checks, self.ran = 0, []

    def run(self, problem: Any, **options: Any) -> str:
        self.ran.clear()
        relational_memory(*problem[:4], **options)
        (name,) = self.ran
        return name


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    from relational_rnn.ops.relational_memory.triton import self_check

    watch, find_fault = Watch(), self_check.find_fault

    def counted(configuration: Any) -> str | None:
        watch.checks += 1
        return find_fault(configuration)

    def noted(name: str, unroll: Any) -> Any:
        return lambda *arguments: (watch.ran.append(name), unroll(*arguments))[1]

    if INTERPRETED:  # slow; a first and a last step, one sequence
        monkeypatch.setattr(self_check, "STEPS", 2)
        monkeypatch.setattr(self_check, "BATCH", 1)
    monkeypatch.setattr(self_check, "_verdicts", {})
    monkeypatch.setattr(self_check, "find_fault", counted)
    monkeypatch.setattr(dispatch, "TRITON_DEVICES", (DEVICE,))
    for name, unroll in dispatch.BACKENDS.items():
        monkeypatch.setitem(dispatch.BACKENDS, name, noted(name, unroll))
    return watch


@pytest.fixture
def tiny(problem: Callable[..., Any]) -> Callable[..., Any]:
    def make(dtype: torch.dtype = torch.float32, **sizes: Any) -> Any:
        return problem(**{**TINY, **sizes}).to(dtype, DEVICE)

    return make


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, result: int, factor: float) -> None:
    from relational_rnn.ops.relational_memory.triton import loop

    monkeypatch.setattr(loop, name, Kernel(getattr(loop, name), result, factor))


def test_a_healthy_path_is_checked_once_and_used(watch: Watch, tiny: Any) -> None:
    for steps in (1, 2, 1):  # the same kernels for any number of steps and sequences
        assert watch.run(tiny(steps=steps)) == "triton"
        assert watch.run(tiny(batch=steps)) == "triton"
    assert watch.checks == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"slots": 2, "rows": 2}, id="slots and rows"),
        pytest.param({"gate": "memory"}, id="memory gate"),
        pytest.param({"gate": None}, id="no gate"),
        pytest.param({"dtype": torch.float64}, id="float64"),
        pytest.param({"heads": 1, "head": 1, "key": 1}, id="width 1"),
    ],
)
def test_every_configuration_is_checked_by_itself(watch: Watch, tiny: Any, options: Any) -> None:
    assert watch.run(tiny(layers=2)) == "triton"
    assert watch.run(tiny(**options)) == "triton"
    assert watch.checks == 2


def test_autocast_is_a_configuration_of_its_own(watch: Watch, tiny: Any) -> None:
    with torch.autocast(DEVICE, torch.bfloat16):
        assert watch.run(tiny()) == "triton"
    assert watch.run(tiny()) == "triton"
    assert watch.checks == 1 + multiplies_bfloat16(DEVICE)  # else autocast changes nothing


@pytest.mark.parametrize(
    ("kernel", "result", "factor"),
    [
        pytest.param("attend", 8, 1.01, id="attention"),
        pytest.param("attend", 8, float("nan"), id="not a number"),
        pytest.param("gate_update", 9, 1.01, id="gates"),
        pytest.param("gate_update_backward", 16, 1.01, id="gates backward"),
        pytest.param("norm_backward", 4, 1.01, id="norm backward"),
        pytest.param("attend_backward", 8, 1.01, id="attention backward"),
    ],
)
def test_a_wrong_kernel_gives_one_warning_and_the_fused_loop(
    watch: Watch,
    tiny: Any,
    monkeypatch: pytest.MonkeyPatch,
    kernel: str,
    result: int,
    factor: float,
) -> None:
    spoil(monkeypatch, kernel, result, factor)
    with pytest.warns(RuntimeWarning, match="fails its check on .* the relative error of"):
        assert watch.run(tiny()) == "fused"
    assert watch.run(tiny(steps=2)) == "fused"
    assert watch.checks == 1


def test_a_kernel_that_raises_gives_one_warning_and_the_fused_loop(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relational_rnn.ops.relational_memory.triton import loop

    monkeypatch.setattr(loop, "attend", Raises())
    with pytest.warns(RuntimeWarning, match="RuntimeError: no such instruction;") as caught:
        assert watch.run(tiny()) == "fused"
    assert len(caught) == 1
    assert watch.run(tiny()) == "fused"
    assert watch.checks == 1


def test_a_fault_that_is_raised_as_an_error_is_remembered(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "attend", 8, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="fails its check"):
            watch.run(tiny())
    assert watch.run(tiny()) == "fused"


def test_a_forced_backend_is_not_checked(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "attend", 8, 2.0)
    assert watch.run(tiny(), backend="triton") == "triton"
    assert watch.checks == 0


def test_nothing_is_checked_during_a_capture(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relational_rnn.ops.relational_memory.triton import self_check

    with monkeypatch.context() as capture:
        capture.setattr(self_check, "_capturing", lambda device: True)
        assert watch.run(tiny()) == "fused"
        assert watch.checks == 0
    assert watch.run(tiny()) == "triton"
    with monkeypatch.context() as capture:
        capture.setattr(self_check, "_capturing", lambda device: True)
        assert watch.run(tiny()) == "triton"
    assert watch.checks == 1


def test_nothing_is_checked_in_a_backward_pass(watch: Watch, tiny: Any) -> None:
    ran = []
    x = torch.ones(2, device=DEVICE, requires_grad=True)
    x.register_hook(lambda gradient: ran.append(watch.run(tiny())))
    (2 * x).sum().backward()
    assert ran == ["fused"]
    assert watch.checks == 0


def test_a_check_does_not_touch_its_surroundings(watch: Watch, tiny: Any) -> None:
    torch.manual_seed(3)
    states = [torch.get_rng_state()]
    if not INTERPRETED:
        states.append(torch.cuda.get_rng_state())
    saved: list[Tensor] = []

    def save(x: Tensor) -> Tensor:
        saved.append(x)
        return x

    counts = []
    for _ in range(2):  # with a check and without
        saved.clear()
        with (
            torch.autograd.graph.saved_tensors_hooks(save, lambda x: x),
            torch.autocast(DEVICE, torch.bfloat16),
        ):
            relational_memory(*tiny()[:4])
            assert torch.is_autocast_enabled(DEVICE)
            assert torch.is_grad_enabled()
        counts.append(len(saved))
    assert watch.checks == 1
    assert counts[0] == counts[1] > 0
    assert torch.equal(torch.get_rng_state(), states[0])
    if not INTERPRETED:
        assert torch.equal(torch.cuda.get_rng_state(), states[1])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_check_without_gradients_finds_a_wrong_backward_pass(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    spoil(monkeypatch, "norm_backward", 4, 1.01)
    with mode():
        with pytest.warns(RuntimeWarning, match="the gradient of"):
            assert watch.run(tiny()) == "fused"
        assert not torch.is_grad_enabled()
    assert watch.checks == 1


def test_a_reference_that_is_not_finite_confirms_nothing(
    watch: Watch, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relational_rnn.ops.relational_memory.triton import self_check

    nothing_known = self_check.Errors({"memories": math.inf}, {"memories": math.inf})
    monkeypatch.setattr(self_check, "measure", lambda configuration: nothing_known)
    with pytest.warns(RuntimeWarning, match="the reference is not finite"):
        assert watch.run(tiny()) == "fused"
