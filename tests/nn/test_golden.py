"""The module against the numbers of the original implementation (tests/goldens/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from relational_rnn import RelationalMemory
from relational_rnn.ops.relational_memory import BACKENDS

ON_CPU = [name for name in BACKENDS if name not in ("triton", "native")]
CASES = sorted((Path(__file__).parents[1] / "goldens" / "rmc").glob("*.npz"))
pytestmark = pytest.mark.filterwarnings("ignore:mem_slots")  # one case has more than the width
BUDGET = {"atol": 1e-10, "rtol": 1e-8}  # float64: generous, a re-computation agrees to 2e-14


def load(path: Path, backend: str) -> tuple[dict[str, Tensor], RelationalMemory]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    config = json.loads(str(arrays.pop("config_json")))
    core = config["core"]
    shape = config["input_shape"]
    matrix = config["treat_input_as_matrix"]
    module = RelationalMemory.from_sonnet(
        {name.removeprefix("var/"): value for name, value in arrays.items() if name[:4] == "var/"},
        input_size=shape[-1],
        mem_slots=core["mem_slots"],
        head_size=core["head_size"],
        num_heads=core["num_heads"],
        key_size=core["key_size"],
        num_blocks=core["num_blocks"],
        attention_mlp_layers=core["attention_mlp_layers"],
        gate_style=core["gate_style"],
        forget_bias=core["forget_bias"],
        input_bias=core["input_bias"],
        input_rows=shape[0] if matrix else None,
        backend=backend,
    )
    return {name: torch.from_numpy(value) for name, value in arrays.items()}, module


@pytest.mark.parametrize("backend", ["auto", *ON_CPU])
@pytest.mark.parametrize("start", ["rand", "std"])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_equals_the_original(path: Path, start: str, backend: str) -> None:
    arrays, module = load(path, backend)
    inputs = arrays["inputs"].requires_grad_()
    memory = arrays[f"{start}/init_memory"].requires_grad_()

    output, final = module(inputs, memory)
    torch.testing.assert_close(output, arrays[f"{start}/outputs"], **BUDGET)
    torch.testing.assert_close(final, arrays[f"{start}/final_memory"], **BUDGET)

    loss = (output * arrays["loss_weights"]).sum()
    torch.testing.assert_close(loss, arrays[f"{start}/loss"], **BUDGET)
    loss.backward()
    torch.testing.assert_close(inputs.grad, arrays[f"{start}/grad/inputs"], **BUDGET)
    torch.testing.assert_close(memory.grad, arrays[f"{start}/grad/init_memory"], **BUDGET)
    expected = {
        name.removeprefix(f"{start}/grad/var/"): value.numpy()
        for name, value in arrays.items()
        if name.startswith(f"{start}/grad/var/")
    }
    for parameter in module.parameters():
        parameter.data = parameter.grad
    actual = module.to_sonnet()
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, **BUDGET, err_msg=name)


@pytest.mark.parametrize("start", ["rand", "std"])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_trace_has_the_gates_of_the_original(path: Path, start: str) -> None:
    arrays, module = load(path, "reference")
    trace = module.trace(arrays["inputs"], arrays[f"{start}/init_memory"])
    torch.testing.assert_close(trace.output, arrays[f"{start}/outputs"], **BUDGET)
    for gate in ("input_gate", "forget_gate"):
        expected = arrays.get(f"{start}/{gate}")
        if expected is None:
            assert getattr(trace, gate) is None
        else:
            torch.testing.assert_close(getattr(trace, gate), expected, **BUDGET)
    sums = trace.attention.sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_initial_state_is_the_original(path: Path) -> None:
    arrays, module = load(path, "reference")
    expected = arrays["std/init_memory"]
    assert torch.equal(module.initial_state(len(expected)), expected)


def test_names_the_variable_that_does_not_fit() -> None:
    _, module = load(CASES[0], "auto")
    arguments = {"input_size": 7, "mem_slots": 1, "head_size": 3, "num_heads": 4, "key_size": 5}
    variables = module.to_sonnet()
    with pytest.raises(ValueError, match="mlp/linear_2"):
        RelationalMemory.from_sonnet(variables, **arguments, attention_mlp_layers=2)
    with pytest.raises(ValueError, match="mlp/linear_3/w' is missing"):
        RelationalMemory.from_sonnet(variables, **arguments, attention_mlp_layers=4)
    arguments["head_size"] = 4
    with pytest.raises(ValueError, match=r"linear/w' must have shape .* got \[7, 12\]"):
        RelationalMemory.from_sonnet(variables, **arguments, attention_mlp_layers=3)
