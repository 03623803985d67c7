"""Training on generated tasks: resumed to the same bits, in several processes, wrong options."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from relational_rnn.evaluate.accuracy import answer
from relational_rnn.ops.relational_memory.native.build import COMPILERS
from relational_rnn.registry import build_task, load_task_model
from relational_rnn.runs import Run
from relational_rnn.tasks.sampling import BatchSource

CORE = ("--head-size", 4, "--num-heads", 2, "--mem-slots", 2, "--readout-size", 16)
STEPS = (
    *("--max-steps", 24, "--validate-every", 9, "--checkpoint-every", 4, "--log-every", 3),
    *("--batch-size", 8, "--valid-examples", 20, "--test-examples", 24, "--readout-norm"),
    *("--learning-rate", 0.01, "--run", "run"),
)
TASKS = {
    "nth-farthest": ("--objects", 3, "--features", 2, "--curriculum", "mix"),
    "programs": ("--length", 2, "--curriculum", "combined", "--averaging", "ema", "--auxiliary", 1),
    "memorization": ("--category", "double", "--length", 3, "--micro-batch-size", 4),
    "state-tracking": ("--group", "s3", "--length", 8, "--train-length", 4),
    "associative-recall": (
        *("--vocabulary-size", 40, "--length", 16, "--pairs", 2, "--curriculum", "mix"),
        *("--micro-batch-size", 4),
    ),
}


def start(task):
    return ("train", task, *TASKS[task], *CORE, *STEPS)


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        taken = ("seconds", "cpu_seconds", "examples_per_s")
        return [{k: v for k, v in row.items() if k not in taken} for row in csv.DictReader(file)]


NATIVE = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)) and "CXX" not in os.environ, reason="no C++ compiler"
)


@pytest.mark.parametrize(
    ("task", "backend"),
    [
        *((task, "fused") for task in TASKS),
        *(pytest.param(task, "native", marks=NATIVE) for task in ("nth-farthest", "programs")),
    ],
)
def test_killed_and_resumed_to_the_same_bits(rrnn, tmp_path, task, backend):
    other = tmp_path / "other"
    other.mkdir()
    command = (*start(task), "--backend", backend)
    assert rrnn(*command, cwd=other).code == 0
    assert rrnn(*command, at=("step", 15, signal.SIGKILL)).code == -signal.SIGKILL
    ended = rrnn("train", "--resume", "run", "--json")
    assert ended.code == 0, ended.stderr
    run, reference = tmp_path / "runs" / "run", other / "runs" / "run"
    assert rows(run) == rows(reference)
    assert (run / "model.safetensors").read_bytes() == (
        reference / "model.safetensors"
    ).read_bytes()
    ours, theirs = (json.loads((x / "summary.json").read_text("utf-8")) for x in (run, reference))
    for name in ("test", "valid", "by_difficulty", "steps", "examples"):
        assert ours[name] == theirs[name]
    assert ended.json["test"] == ours["test"]
    assert 0 <= ours["test"]["answer_accuracy"] <= ours["test"]["accuracy"] <= 1


def test_the_most_accurate_weights_are_kept(rrnn, tmp_path):
    assert rrnn(*start("nth-farthest"), "--validate-every", 2, "--max-steps", 40).code == 0
    run = tmp_path / "runs" / "run"
    table = [row for row in rows(run) if row["valid_loss"]]
    most = max(table, key=lambda row: float(row["valid_accuracy"]))  # the first of them
    least = min(table, key=lambda row: float(row["valid_loss"]))
    assert json.loads((run / "summary.json").read_text("utf-8"))["best_step"] == int(most["step"])
    assert most["step"] != least["step"], "the two must differ for this test"


@pytest.mark.parametrize(
    ("task", "arguments", "parts"),
    [
        ("nth-farthest", (), ["n_0", "n_1", "n_2", "m_step_0", "m_step_1", "m_step_2"]),
        ("programs", ("--length", 2), ["place_0", "place_1", "place_2"]),
        ("memorization", ("--category", "copy", "--length", 3), ["place_0", "place_1", "place_2"]),
        ("state-tracking", (), []),
    ],
)
def test_validations_tell_kinds_of_question_and_places_apart(
    rrnn, tmp_path, task, arguments, parts
):
    command = (*start(task), *arguments, "--max-steps", 9, "--valid-examples", 60)
    assert rrnn(*command).code == 0
    table = rows(tmp_path / "runs" / "run")
    columns = [f"valid_accuracy_{part}" for part in parts]
    assert [name for name in table[0] if name.startswith("valid_accuracy_")] == columns
    best = json.loads((tmp_path / "runs/run/summary.json").read_text("utf-8"))["best_step"]
    row = next(row for row in table if int(row["step"]) == best)
    run = Run(tmp_path / "runs" / "run")
    model, task = load_task_model(run).eval(), build_task(run.config, training=False)
    source = BatchSource(task, batch_size=60, batches=1, seed=run.config.seed, stream="valid")
    batch = source.batch(0)
    answers = answer(model, batch, batch_size=60)
    for part in parts:
        name, number = part.rsplit("_", 1)
        right, counted = answers.right, answers.counted.clone()
        if name == "place":
            for example in range(60):  # from the end of each answer
                last = int(counted[:, example].sum()) - 1 - int(number)
                counted[:, example] = torch.arange(len(counted)) == last
        else:
            labels = {"n": task.kinds()[: task.objects], "m_step": task.kinds()[task.objects :]}
            counted &= labels[name][int(number)].which(batch)
        expected = (right & counted).sum() / counted.sum() if counted.any() else None
        given = float(row[f"valid_accuracy_{part}"]) if row[f"valid_accuracy_{part}"] else None
        assert given == (None if expected is None else pytest.approx(float(expected)))


def test_the_level_of_a_curriculum_rises_and_is_saved(rrnn, tmp_path):
    assert rrnn(*start("programs")).code == 0
    last = torch.load(tmp_path / "runs/run/checkpoints/last.ckpt", weights_only=True)
    (stream,) = last["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert stream["task"]["tries"] == 24 // 3, "one loss per row of metrics"


def test_a_small_task_is_learned(rrnn, tmp_path):
    ended = rrnn(
        *("train", "memorization", "--length", 1, *CORE, "--batch-size", 32, "--run", "run"),
        *("--max-steps", 150, "--validate-every", 50, "--learning-rate", 0.01, "--json"),
        *("--valid-examples", 100, "--test-examples", 100, "--readout-layers", 1),
    )
    assert ended.code == 0, ended.stderr
    assert ended.json["test"]["accuracy"] == 1


# Without the norm before the read-out, which each process computes over its own examples.
@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_equal_one(command, several, tmp_path):
    runs = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        ended = (several if devices > 1 else command)(
            *("train", "programs", "--length", 2, *CORE, *STEPS, "--readout-norm", "false"),
            *("--devices", devices),
            cwd=folder,
        )
        assert ended.code == 0, ended.stderr
        runs.append(folder / "runs" / "run")
    for one, two in zip(*map(rows, runs), strict=True):
        for name in (
            *("valid_loss", "valid_accuracy", "valid_answer_accuracy", "valid_accuracy_place_0"),
            *("valid_accuracy_place_1", "valid_accuracy_place_2"),
        ):
            if one[name]:
                assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ("nth-farthest", "--objects", 1), "objects: must be at least 2, got 1", id="objects"
        ),
        pytest.param(
            ("programs", "--nesting", 0), "nesting: must be at least 1, got 0", id="nesting"
        ),
        pytest.param(("programs", "--category", "divide"), "one of addition", id="operator"),
        pytest.param(
            ("memorization", "--length", 0), "length: must be at least 1, got 0", id="length"
        ),
        pytest.param(
            ("memorization", "--nesting", 2), "not an option of memorization; programs", id="other"
        ),
        pytest.param(("programs", "--epochs", 3), "use max_steps", id="epochs"),
        pytest.param(("programs", "--readout-norm", "--batch-size", 1), "2 examples", id="norm"),
        pytest.param(("nth-farthest", "--features", "many"), "an integer", id="no number"),
    ],
)
def test_a_mistake_is_reported_in_one_line(rrnn, tmp_path, arguments, said):
    ended = rrnn("train", *arguments, "--max-steps", 1)
    assert ended.code == 2
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_a_run_of_another_task_is_refused_where_words_are_needed(rrnn):
    assert rrnn(*start("memorization")).code == 0
    ended = rrnn("generate", "run")
    assert ended.code == 2
    assert "its task is memorization" in ended.stderr
    assert ended.stderr.count("\n") == 1
