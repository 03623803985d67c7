"""Training with the hardware that it finds: precision, threads."""

import dataclasses
import signal
from importlib import import_module

import pytest
import torch

from relational_rnn import progress
from relational_rnn.cli import main
from relational_rnn.config import load
from relational_rnn.runs import Run
from relational_rnn.signals import Interrupted
from relational_rnn.train import display, loop

fit = import_module("relational_rnn.train.fit")  # the package has a function of this name
SMALL = ("--embedding-size", "8", "--head-size", "4", "--num-heads", "2", "--hidden-size", "8")


@pytest.mark.parametrize("model", ["rmc", "lstm"])
def test_a_processor_without_bfloat16_takes_float32(
    text, environment, tmp_path, model, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", environment["RRNN_CACHE"])
    monkeypatch.setattr(fit, "multiplies_bfloat16", lambda device: False)
    start = ("train", "language-modeling", "--data", str(text), *SMALL, "--model", model)
    remarks, summaries = [], []
    for precision in ("32", "bf16-mixed"):
        run = f"precision-{precision}"
        assert main([*start, "--max-steps", "2", "--precision", precision, "--run", run]) == 0
        remark = "precision: float32, because this CPU has no bfloat16 products"
        remarks.append(remark in capsys.readouterr().out)
        summaries.append(Run(tmp_path / "runs" / run).summary)
    assert remarks == [False, True]
    assert [summary["precision"] for summary in summaries] == ["32-true", "32-true"]
    assert summaries[0]["test"] == summaries[1]["test"]


@pytest.fixture
def config(text, environment, tmp_path, monkeypatch):
    monkeypatch.setenv("RRNN_CACHE", environment["RRNN_CACHE"])
    values = {"data": str(text), "embedding_size": 8, "head_size": 4, "num_heads": 2}
    return load("language-modeling", {**values, "batch_size": 4, "max_steps": 4})


def new_run(tmp_path):
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    return run


def test_the_display_is_closed_before_an_interrupt_is_reported(config, tmp_path, monkeypatch):
    class Shown(display.Silent):
        closed = False

        def close(self):
            self.closed = True

    shown = Shown()
    monkeypatch.setattr(loop, "open_display", lambda total, start: shown)

    def interrupt(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Loop, "on_train_batch_start", interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        fit.fit(config, run=new_run(tmp_path), resume=False)
    assert shown.closed
    assert signal.getsignal(signal.SIGINT) is before


def test_training_uses_its_threads_and_restores_the_number_of_before(config, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "threads_for", lambda config: 2)
    before = torch.get_num_threads()
    run = new_run(tmp_path)
    fit.fit(config, run=run, resume=False)
    assert run.summary["machine"]["threads"] == 2
    assert torch.get_num_threads() == before
    assert getattr(run.config, "threads", 2) == 2


SMALL_REASONING = {
    "head_size": 4,
    "num_heads": 1,
    "readout_size": 8,
    "batch_size": 4,
    "valid_examples": 8,
    "test_examples": 8,
    "max_steps": 2,
    "validate_every": 1,
}


@pytest.mark.parametrize("task", ["language-modeling", "nth-farthest"])
def test_long_validations_show_their_progress(config, tmp_path, monkeypatch, capsys, task):
    monkeypatch.setattr(progress, "SHOW_AFTER", 0.0)
    if task != config.task:
        config = load(task, SMALL_REASONING)
    fit.fit(config, run=new_run(tmp_path), resume=False)
    shown = [line for line in capsys.readouterr().err.splitlines() if "validating" in line]
    assert shown
    assert all(line.startswith("validating: ") for line in shown)


def test_a_run_from_before_threads_were_saved_keeps_the_number_of_pytorch(
    config, tmp_path, monkeypatch
):
    run = new_run(tmp_path)
    fit.fit(dataclasses.replace(config, threads=1), run=run, resume=False)
    monkeypatch.setattr(fit, "most_threads", lambda processes: 2)
    fit.fit(dataclasses.replace(config, threads=None), run=run, resume=True)
    assert run.summary["machine"]["threads"] == 2
