"""A run killed at any moment resumes and ends with the same bits as a run never killed."""

import csv
import signal
from pathlib import Path

import pytest
import torch

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--mem-slots", 2),
    *("--batch-size", 4, "--bptt", 10, "--learning-rate", 0.01),
)
# All that changes from step to step: averages, learning rate, dropout, random windows and resets.
VARIED = (
    *("--max-steps", 40, "--validate-every", 15, "--checkpoint-every", 4, "--log-every", 6),
    *("--averaging", "ema", "--ema-decay", 0.9, "--schedule", "plateau", "--warmup-steps", 3),
    *("--embedding-dropout", 0.2, "--output-dropout", 0.2, "--variational", "--word-dropout", 0.1),
    *("--weight-drop", 0.2, "--random-bptt", "--random-offset", "--reset-probability", 0.2),
    *("--activation-regularization", 1, "--temporal-activation-regularization", 1),
)
KILLED = -signal.SIGKILL


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return [
            {
                name: value
                for name, value in row.items()
                if name not in ("seconds", "cpu_seconds", "tokens_per_s")
            }
            for row in csv.DictReader(file)
        ]


def plain(value):
    """Plain types to compare, without the time."""
    if isinstance(value, torch.Tensor):
        return (value.dtype, value.tolist())
    if isinstance(value, dict):
        return {
            name: plain(part)
            for name, part in value.items()
            if name not in ("seconds", "cpu_seconds")
        }
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def assert_same(run: Path, reference: Path) -> None:
    assert rows(run) == rows(reference)
    for name in ("last.ckpt", "best.ckpt"):
        saved, wanted = (
            torch.load(folder / "checkpoints" / name, weights_only=True)
            for folder in (run, reference)
        )
        assert plain(saved) == plain(wanted)
    for name in ("model.safetensors", "vocabulary.json"):
        assert (run / name).read_bytes() == (reference / name).read_bytes()


@pytest.fixture(scope="module")
def start(text):
    return ("train", "language-modeling", "--data", text, *SMALL, *VARIED, "--run", "run")


@pytest.fixture(scope="module")
def reference(command, start, tmp_path_factory):
    """The run that was never killed."""
    folder = tmp_path_factory.mktemp("reference")
    assert command(*start, cwd=folder).code == 0
    last = torch.load(folder / "runs/run/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == last["callbacks"]["Loop"]["step"] == 40
    return folder / "runs" / "run"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("step", 3), id="before the first checkpoint"),
        pytest.param(("step", 14), id="in mid-epoch"),
        pytest.param(("validation", 2), id="in mid-validation"),
        # Replaced are, in turn: config, vocabulary, text, metrics, checkpoints 4, 8, 12; last 15,
        # best 15, weights 15; checkpoints 16, 20 ...
        pytest.param(("replacement", 2), id="before the vocabulary is saved"),
        pytest.param(("replacement", 7), id="while a checkpoint is saved"),
        pytest.param(("replacement", 9), id="between the last checkpoint and the best"),
        pytest.param(("replacement", 10), id="between the best checkpoint and its weights"),
    ],
)
def test_killed_and_resumed(rrnn, start, reference, tmp_path, moment):
    assert rrnn(*start, at=(*moment, signal.SIGKILL)).code == KILLED
    ended = rrnn("train", "--resume", "run", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["steps"] == 40
    assert_same(tmp_path / "runs" / "run", reference)
    assert not list(tmp_path.rglob("*.tmp")), "temporary files are left"


def test_killed_again_and_again(rrnn, start, reference, tmp_path):
    ended = rrnn(*start, at=("step", 6, signal.SIGKILL))
    for count in (1, 5, 9, 13, 2, 8):
        assert ended.code == KILLED
        ended = rrnn("train", "--resume", "run", at=("step", count, signal.SIGKILL))
    while ended.code:
        ended = rrnn("train", "--resume", "run")
    assert_same(tmp_path / "runs" / "run", reference)


def test_micro_batches_and_the_plain_average(rrnn, text, tmp_path):
    start = (
        *("train", "language-modeling", "--data", text, *SMALL, "--run", "run"),
        *("--max-steps", 30, "--validate-every", 3, "--micro-batch-size", 2),
        *("--averaging", "nt-asgd", "--nonmono", 1, "--optimizer", "sgd", "--learning-rate", 20),
        *("--momentum", 0.5, "--output-dropout", 0.3),
    )
    other = tmp_path / "other"
    other.mkdir()
    assert rrnn(*start, cwd=other).code == 0
    assert rrnn(*start, at=("step", 2 * 25, signal.SIGKILL)).code == KILLED
    assert rrnn("train", "--resume", "run").code == 0
    assert_same(tmp_path / "runs" / "run", other / "runs" / "run")
    last = torch.load(other / "runs" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["callbacks"]["Loop"]["averaging"], "the average never began: choose other values"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_more_steps_can_be_added(rrnn, text, tmp_path, optimizer):
    start = ("train", "language-modeling", "--data", text, *SMALL, "--validate-every", 10)
    plain = (*start, "--optimizer", optimizer)
    assert rrnn(*plain, "--run", "whole", "--max-steps", 30).code == 0
    assert rrnn(*plain, "--run", "half", "--max-steps", 20).code == 0
    assert rrnn("train", "--resume", "half", "--max-steps", 30).code == 0
    assert rows(tmp_path / "runs" / "half") == rows(tmp_path / "runs" / "whole")
    whole, half = (tmp_path / "runs" / name / "model.safetensors" for name in ("whole", "half"))
    assert half.read_bytes() == whole.read_bytes()


def test_checkpoints_change_nothing(rrnn, text, tmp_path):
    plain = ("train", "language-modeling", "--data", text, *SMALL, *VARIED)
    assert rrnn(*plain, "--run", "often", "--checkpoint-every", 1).code == 0
    assert rrnn(*plain, "--run", "seldom", "--checkpoint-every", "null").code == 0
    often, seldom = (tmp_path / "runs" / name for name in ("often", "seldom"))
    assert rows(often) == rows(seldom)
    assert (often / "model.safetensors").read_bytes() == (seldom / "model.safetensors").read_bytes()


def test_fewer_steps_than_were_made_are_refused(rrnn, text, tmp_path):
    plain = ("train", "language-modeling", "--data", text, *SMALL, "--validate-every", 10)
    assert rrnn(*plain, "--run", "half", "--max-steps", 20).code == 0
    config = (tmp_path / "runs" / "half" / "config.yaml").read_bytes()
    refused = rrnn("train", "--resume", "half", "--max-steps", 10)
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert "is at step 20 already" in refused.stderr
    assert (tmp_path / "runs" / "half" / "config.yaml").read_bytes() == config


def test_what_a_curriculum_goes_by_cannot_be_changed(rrnn, tmp_path):
    options = ("--curriculum", "naive", "--length", 2, "--batch-size", 4, "--head-size", 4)
    few = ("--valid-examples", 4, "--test-examples", 4, "--max-steps", 2, "--run", "sums")
    assert rrnn("train", "programs", *options, *few).code == 0
    refused = rrnn("train", "--resume", "sums", "--max-steps", 4, "--log-every", 1)
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert "log_every: cannot be changed" in refused.stderr


def test_killed_before_anything_is_saved_but_the_logger_is_open(rrnn, start, reference, tmp_path):
    assert rrnn(*start, at=("replacement", 1, signal.SIGKILL)).code == KILLED
    run = tmp_path / "runs" / "run"
    assert not (run / "config.yaml").exists()
    assert list(run.glob("events.out.tfevents.*")), "no logger was open: the test needs one"
    ended = rrnn(*start)
    assert ended.code == 0, ended.stderr
    assert_same(run, reference)
