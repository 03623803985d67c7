"""Training-only heads: they learn, and neither the saved model nor the test knows of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from relational_rnn.config import NthFarthestConfig, ProgramsConfig
from relational_rnn.registry import build_task, build_task_model
from relational_rnn.train import auxiliary

CORE = {"mem_slots": 2, "head_size": 8, "num_heads": 2, "readout_layers": 1, "readout_size": 16}
CONFIGS = [
    NthFarthestConfig(objects=3, features=2, auxiliary=1.0, **CORE),
    ProgramsConfig(length=2, nesting=1, auxiliary=1.0, **CORE),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.task)
def test_the_heads_teach_the_core(config):
    torch.manual_seed(1)
    model = build_task_model(config)
    heads = auxiliary.build(config, model.core.output_size)
    task = build_task(config, training=True)
    # The core alone is trained: what the heads read improves only if its memory does.
    optimizer = torch.optim.Adam(model.core.parameters(), lr=0.01)
    losses = []
    for step in range(60):
        batch = task.sample(64, np.random.SeedSequence(step), "cpu")
        outputs, _ = model.read_and_answer(batch.inputs, batch.input_lengths, batch.targets)
        loss = heads(outputs, batch.inputs, batch.input_lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_perfect_heads_have_no_loss():
    config = CONFIGS[1]
    batch = build_task(config, training=False).sample(8, np.random.SeedSequence(1), "cpu")
    steps, B = batch.inputs.shape
    heads = auxiliary.RunningValue(config, width=30)
    heads.norm = torch.nn.Identity()
    with torch.no_grad():
        heads.values.weight.copy_(1000 * torch.eye(30))
        heads.values.bias.zero_()
    # All programs are of 2 digits and of the full length, so nothing moves for alignment.
    assert batch.input_lengths.tolist() == [steps] * B
    values = torch.zeros(steps, B, dtype=torch.int64)
    for column, ids in enumerate(batch.inputs.T.tolist()):
        digits = [i - 1 for i in ids if 1 <= i <= 10]
        a, b, c, d = digits
        values[:, column] = torch.tensor(
            [10 * a, 10 * a + b, 10 * a + b, 10 * (a + c) + b, 10 * (a + c) + b + d]
        )
    digits = torch.stack([values // 100, values // 10 % 10, values % 10], dim=-1)  # [T, B, 3]
    outputs = torch.nn.functional.one_hot(digits, 10).flatten(2).float()
    assert heads(outputs, batch.inputs, batch.input_lengths).item() == pytest.approx(0, abs=1e-6)
    wrong = heads(outputs.roll(1, dims=-1), batch.inputs, batch.input_lengths)
    assert wrong.item() > 100


def saved(run: Path) -> dict[str, list[int]]:
    with safe_open(run / "model.safetensors", "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def test_the_saved_model_has_no_heads(rrnn, tmp_path):
    options = ("--objects", 3, "--features", 2, "--head-size", 4, "--num-heads", 2)
    steps = ("--max-steps", 4, "--batch-size", 8, "--valid-examples", 20, "--test-examples", 20)
    for name, weight in (("with", 1), ("without", 0)):
        run = rrnn("train", "nth-farthest", *options, *steps, "--auxiliary", weight, "--run", name)
        assert run.code == 0, run.stderr
    runs = tmp_path / "runs"
    assert saved(runs / "with") == saved(runs / "without")
    counts = [
        json.loads((runs / name / "summary.json").read_text("utf-8"))["parameters"]
        for name in ("with", "without")
    ]
    assert counts[0] == counts[1]
    assert rrnn("test", "with").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("memorization",), "auxiliary: must be 0, got 1.0: memorization has no auxiliary heads"),
        (("programs", "--length", 9), "auxiliary: must be 0, got 1.0: length must be at most 8"),
    ],
)
def test_refused(rrnn, options, message):
    run = rrnn("train", *options, "--auxiliary", 1)
    assert run.code == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
