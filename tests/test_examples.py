"""The examples run, at a small size."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from relational_rnn import RelationalMemory

FOLDER = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "plain_loop": ["--steps", "3"],
    "time_series": ["--steps", "2"],
    "lightning_module": ["--epochs", "1", "--examples", "128"],
    "recall_rl": ["--steps", "4096", "--seeds", "1", "--output", "."],
    "torchrl_policy": ["--rollouts", "1"],
}
NEEDED = {"recall_rl": ["gymnasium"], "torchrl_policy": ["gymnasium", "torchrl"]}


def test_all_are_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == ARGUMENTS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_runs(name, tmp_path):
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *ARGUMENTS[name]],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if name == "recall_rl":
        assert {path.name for path in tmp_path.iterdir()} >= {"recall.json", "recall.png"}


@pytest.fixture
def adapter():
    """`ZeroStateMemory` of the TorchRL example, and a core to wrap; TorchRL is not needed."""
    spec = importlib.util.spec_from_file_location("torchrl_policy", FOLDER / "torchrl_policy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ZeroStateMemory


def test_the_state_for_torchrl_is_zero_at_first_and_steps_equal_the_sequence(adapter):
    torch.manual_seed(0)
    core = RelationalMemory(3, mem_slots=2, head_size=4, num_heads=2, batch_first=True)
    adapted = adapter(core)
    inputs = torch.randn(5, 7, 3)  # [B, T, I]
    is_init = torch.rand(5, 7, 1) < 0.3
    is_init[:3, 0] = True
    states = [torch.randn(5, 2, 8)]
    outputs = []
    for step in range(7):
        output, after = adapted(inputs[:, step], states[-1], is_init[:, step])
        outputs.append(output)
        states.append(after)
    before, after = torch.stack(states[:-1], dim=1), torch.stack(states[1:], dim=1)
    found, last = adapted(inputs, before, is_init)
    torch.testing.assert_close(found, torch.stack(outputs, dim=1))
    torch.testing.assert_close(last, after)
    zeros = torch.zeros(2, 8)
    torch.testing.assert_close(core(inputs[:1, :1])[0][0, 0], found[0, 0])
    one, _ = adapted(inputs[0, 0], zeros, torch.tensor([False]))  # without a batch
    torch.testing.assert_close(one, found[0, 0])


@pytest.mark.parametrize("wrong", [{"batch_first": False}, {"num_layers": 2}], ids=str)
def test_what_cannot_be_adapted_to_torchrl(adapter, wrong):
    sizes = {"mem_slots": 2, "head_size": 4, "batch_first": True}
    with pytest.raises(ValueError, match="core must be of one layer and have batch_first=True"):
        adapter(RelationalMemory(3, **{**sizes, **wrong}))
