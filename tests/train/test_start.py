"""Training that starts from the weights of another run, and what does not fit."""

import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from .test_resume import KILLED, rows

SMALL = (
    *("--embedding-size", 4, "--head-size", 2, "--num-heads", 2, "--batch-size", 2),
    *("--bptt", 4, "--log-every", 1),
)
TASK = (
    *("--objects", 2, "--features", 2, "--head-size", 2, "--num-heads", 2, "--batch-size", 4),
    *("--valid-examples", 4, "--test-examples", 4, "--validate-every", 1),
)


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture
def first(rrnn, text):
    start = ("train", "language-modeling", "--data", text, *SMALL)
    assert rrnn(*start, "--run", "first", "--max-steps", 3).code == 0
    return start


def test_first_step_is_from_these_weights(rrnn, first, tmp_path):
    still = (*first, "--optimizer", "sgd", "--learning-rate", 1e-30, "--max-steps", 1)
    ended = rrnn(*still, "--start", "first", "--run", "second")
    assert ended.code == 0, ended.stderr
    before, after = (weights(tmp_path / "runs" / name) for name in ("first", "second"))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-20)
    config = (tmp_path / "runs" / "second" / "config.yaml").read_text(encoding="utf-8")
    assert f"start: {tmp_path / 'runs' / 'first'}\n" in config


def test_resumed_without_the_run_that_it_started_from(rrnn, first, tmp_path):
    more = (*first, "--start", "first", "--max-steps", 2, "--run", "second")
    assert rrnn(*more).code == 0
    shutil.rmtree(tmp_path / "runs" / "first")
    ended = rrnn("train", "--resume", "second", "--max-steps", 4, "--json")
    assert (ended.code, ended.json["steps"]) == (0, 4)


def test_killed_before_the_first_checkpoint(rrnn, first, tmp_path):
    more = (*first, "--start", "first", "--max-steps", 2)
    assert rrnn(*more, "--run", "whole").code == 0
    killed = rrnn(*more, "--run", "second", at=("step", 1, signal.SIGKILL))
    assert killed.code == KILLED
    assert not list((tmp_path / "runs" / "second").rglob("*.ckpt"))
    assert rrnn("train", "--resume", "second").code == 0
    assert rows(tmp_path / "runs" / "second") == rows(tmp_path / "runs" / "whole")


def test_averaged_weights_start_there_too(rrnn, first, tmp_path):
    still = (*first, "--optimizer", "sgd", "--learning-rate", 1e-30, "--max-steps", 2)
    ended = rrnn(*still, "--averaging", "ema", "--start", "first", "--run", "second")
    assert ended.code == 0, ended.stderr
    before, after = (weights(tmp_path / "runs" / name) for name in ("first", "second"))
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-7)


def test_a_generated_task(rrnn, tmp_path):
    start = ("train", "nth-farthest", *TASK, "--max-steps", 1)
    assert rrnn(*start, "--run", "first").code == 0
    still = (*start, "--optimizer", "sgd", "--learning-rate", 1e-30)
    assert rrnn(*still, "--start", "first", "--run", "second").code == 0
    before, after = (weights(tmp_path / "runs" / name) for name in ("first", "second"))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-20)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(("--start", "frist"), "frist: no such run", id="no run"),
        pytest.param(("--start", "first", "--head-size", 4), "of another model", id="sizes"),
        pytest.param(
            ("--start", "first", "--num-heads", 1, "--head-size", 4),
            "of another model: its head_size is 2, this run's is 4",
            id="equal shapes",
        ),
        pytest.param(
            ("--start", "first", "--forget-bias", 3),
            "of another model: its forget_bias is 1.0, this run's is 3.0",
            id="constants",
        ),
        pytest.param(("--start", "far"), "runs/far has another vocabulary", id="task"),
        pytest.param(("--start", "pydoc-rmc"), "has another vocabulary than", id="text"),
    ],
)
def test_what_does_not_fit_is_one_line_and_no_run(rrnn, first, tmp_path, changed, said):
    assert rrnn("train", "nth-farthest", *TASK, "--max-steps", 1, "--run", "far").code == 0
    refused = rrnn(*first, "--max-steps", 1, "--run", "second", *changed)
    assert (refused.code, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert said in refused.stderr
    assert not (tmp_path / "runs" / "second").exists()


def test_a_field_without_effect_may_differ(rrnn, text):
    lstm = ("train", "language-modeling", "--data", text, "--model", "lstm", "--hidden-size", 4)
    lstm += ("--embedding-size", 4, "--batch-size", 2, "--bptt", 4, "--max-steps", 1)
    assert rrnn(*lstm, "--run", "first").code == 0
    lstm += ("--start", "first", "--run")
    assert rrnn(*lstm, "second", "--num-heads", 2, "--forget-bias", 2).code == 0


def test_the_same_model_in_other_words(rrnn, first):
    again = (*first, "--max-steps", 1, "--start", "first", "--run")
    assert rrnn(*again, "second", "--key-size", 2).code == 0  # null is the head's size


def test_weights_that_have_changed_since_are_named(rrnn, first, tmp_path):
    again = (*first, "--max-steps", 1, "--start", "first", "--run")
    ended = rrnn(*again, "second")
    assert (ended.code, "note:" in ended.stderr) == (0, False)
    assert rrnn(*first, "--seed", 2, "--max-steps", 1, "--run", "other").code == 0
    runs = tmp_path / "runs"
    shutil.copy(runs / "other" / "model.safetensors", runs / "first" / "model.safetensors")
    ended = rrnn(*again, "third")
    assert ended.code == 0
    where = f"note: start: {runs / 'first'}: changed since the run ended, so results may differ"
    assert f"{where}: model.safetensors\n" in ended.stderr


def test_a_task_starts_from_no_other_task(rrnn, first):
    refused = rrnn("train", "nth-farthest", *TASK, "--start", "first", "--run", "second")
    assert (refused.code, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "first is a run of language-modeling, not of nth-farthest" in refused.stderr
