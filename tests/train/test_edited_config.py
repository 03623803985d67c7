"""A run's config.yaml edited by hand: what cannot change when a run is resumed is named."""

import re

import pytest
import torch

LANGUAGE = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--batch-size", 4, "--bptt", 10),
    *("--max-steps", 3, "--run", "run"),
)
PROGRAMS = (
    *("--curriculum", "naive", "--length", 2, "--batch-size", 4, "--head-size", 4),
    *("--valid-examples", 4, "--test-examples", 4, "--max-steps", 2, "--run", "run"),
)


@pytest.fixture
def run(rrnn, text, tmp_path):
    ended = rrnn("train", "language-modeling", "--data", text, *LANGUAGE)
    assert ended.code == 0, ended.stderr
    return tmp_path / "runs" / "run"


def edit(run, name, value):
    path = run / "config.yaml"
    text, count = re.subn(rf"(?m)^{name}: .*$", f"{name}: {value}", path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, "utf-8")


def refused(ended, *parts):
    assert ended.code == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    for part in ("error: ", *parts):
        assert part in ended.stderr


@pytest.mark.parametrize(
    ("name", "value", "was"),
    [
        ("learning_rate", "0.5", "0.001"),
        ("bptt", "12", "10"),
        ("batch_size", "8", "4"),
        ("optimizer", "sgd", '"adamw"'),
        ("averaging", "ema", '"none"'),
        ("clip", "null", "0.25"),
        ("seed", "2", "1"),
    ],
)
def test_a_fixed_field(rrnn, run, name, value, was):
    edit(run, name, value)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = rrnn("train", "--resume", "run", "--max-steps", 6)
    refused(ended, "runs/run/config.yaml: changed since runs/run/checkpoints/last.ckpt was saved")
    assert re.search(rf'{name} is "?{value}"?, was {re.escape(was)};', ended.stderr), ended.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_resumable_field_may_change(rrnn, run):
    edit(run, "max_steps", 6)
    ended = rrnn("train", "--resume", "run", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["steps"] == 6
    note = "note: runs/run/config.yaml: changed since runs/run/checkpoints/last.ckpt was saved"
    assert ended.stderr == f"{note}: max_steps is 6, was 3\n"


def test_another_file_of_a_finished_run(rrnn, run):
    (run / "model.safetensors").write_bytes(b"")
    ended = rrnn("train", "--resume", "run", "--max-steps", 6)
    assert ended.code == 0
    assert ended.stderr == "note: runs/run: changed since the run ended: model.safetensors\n"


def test_a_resumable_field_of_the_command_line_needs_no_note(rrnn, run):
    ended = rrnn("train", "--resume", "run", "--max-steps", 6)
    assert (ended.code, ended.stderr) == (0, "")


def test_a_row_of_the_metrics(rrnn, run):
    path = run / "metrics.csv"
    content = path.read_bytes()
    row = content.splitlines()[-1]
    path.write_bytes(content.replace(row, row.replace(row.split(b",")[5], b"1.25")))
    ended = rrnn("train", "--resume", "run", "--max-steps", 6)
    assert ended.code == 2
    assert "metrics.csv: broken: its rows have changed since the last checkpoint" in ended.stderr


def test_a_checkpoint_of_an_earlier_version_has_no_configuration(rrnn, run):
    last = run / "checkpoints/last.ckpt"
    content = torch.load(last, weights_only=True)
    assert content.pop("config")["bptt"] == 10
    del content["origin"]["text"]
    torch.save(content, last)
    (run / "text.json").unlink()
    assert rrnn("train", "--resume", "run", "--max-steps", 6).code == 0


def test_rows_that_a_curriculum_follows(rrnn, tmp_path):
    assert rrnn("train", "programs", *PROGRAMS).code == 0
    edit(tmp_path / "runs/run", "log_every", 1)
    ended = rrnn("train", "--resume", "run", "--max-steps", 4)
    refused(ended, "config.yaml: changed since", "log_every is 1, was 50")
