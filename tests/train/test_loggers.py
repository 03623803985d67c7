"""Loggers that receive the rows of metrics.csv as well."""

import csv
import errno
import os
import sys
import threading
from types import ModuleType

import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from relational_rnn.config import load
from relational_rnn.errors import UserError
from relational_rnn.runs import Run
from relational_rnn.train import fit, metrics


class Recorder(Logger):
    """Keeps what it is given."""

    def __init__(self, save_dir):
        Recorder.last = self
        self.save_dir_given = save_dir
        self.rows = []
        self.hyperparameters = {}
        self.status = ""

    name = version = "recorder"

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def log_hyperparams(self, params):
        self.hyperparameters = params

    def finalize(self, status):
        self.status = status


@pytest.fixture
def train(text, environment, tmp_path, monkeypatch):
    """``train(logger, max_steps=..., resume=...)`` trains in one run folder and returns the run."""
    monkeypatch.setenv("RRNN_CACHE", environment["RRNN_CACHE"])
    module = ModuleType("recording")
    module.Recorder, module.nothing = Recorder, object
    monkeypatch.setitem(sys.modules, "recording", module)
    run = Run(tmp_path / "run")
    run.folder.mkdir()

    def train(logger, *, max_steps=4, resume=False):
        values = {"data": str(text), "embedding_size": 8, "head_size": 4, "num_heads": 2}
        values |= {"batch_size": 4, "log_every": 2, "max_steps": max_steps}
        fit(load("language-modeling", values), run=run, resume=resume, logger=logger)
        return run

    return train


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def steps_of_events(run):
    events = EventAccumulator(str(run.folder)).Reload()
    return [event.step for event in events.Scalars("train_loss")]


@pytest.mark.parametrize("logger", [None, "tensorboard"])
def test_events_are_in_the_run_folder_and_are_cut_back_on_resume(train, logger):
    run = train(logger, max_steps=5)
    assert steps_of_events(run) == [2, 4, 5]
    names = {path.name.split(".")[0] for path in run.folder.iterdir()}
    assert names >= {"events", "metrics"}
    assert not names & {"hparams", "lightning_logs", "default"}
    # As if it had been killed between the checkpoint of step 5 and the row of step 6.
    logged = metrics.open_logger(metrics.logger_class("tensorboard"), run, step=5)
    logged.log_metrics({"train_loss": 9.0}, 6)
    logged.finalize("failed")
    assert steps_of_events(run) == [2, 4, 5, 6]
    train(logger, max_steps=8, resume=True)
    assert steps_of_events(run) == [2, 4, 5, 6, 8]
    assert EventAccumulator(str(run.folder)).Reload().Scalars("train_loss")[3].value != 9.0


def test_none_writes_metrics_only(train):
    run = train("none")
    assert [row["step"] for row in rows(run.metrics_path)] == ["2", "4"]
    assert not list(run.folder.glob("events*"))


def test_csv_goes_to_a_folder_of_its_own(train):
    run = train("csv")
    (path,) = (run.folder / "csv").glob("*/metrics.csv")
    own, other = rows(run.metrics_path), rows(path)
    assert [row["train_loss"] for row in other] == [row["train_loss"] for row in own]


def test_a_class_by_its_import_path(train):
    run = train("recording.Recorder")
    recorder = Recorder.last
    assert recorder.save_dir_given == str(run.folder)
    assert [step for step, _ in recorder.rows] == [2, 4]
    assert recorder.rows[-1][1]["valid_perplexity"] > 1
    assert recorder.hyperparameters["batch_size"] == 4
    assert recorder.status == "finished"
    assert [row["step"] for row in rows(run.metrics_path)] == ["2", "4"]


def test_lightning_s_own_by_their_import_path():
    assert metrics.logger_class("lightning.pytorch.loggers.CSVLogger") is CSVLogger


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        ("tensorbord", "must be one of tensorboard, csv, wandb, none, or the import path"),
        ("no_such_package.Logger", "cannot be imported: No module named 'no_such_package'"),
        ("recording.Missing", "cannot be imported: .* has no attribute 'Missing'"),
        ("recording.nothing", "must be a class derived from Lightning's Logger"),
        ("recording.", "cannot be imported"),
        (".Logger", "--logger: must be one of"),
    ],
)
def test_a_wrong_logger_is_refused(train, tmp_path, logger, message):
    with pytest.raises(UserError, match=message):
        train(logger)
    assert not list((tmp_path / "run").iterdir())


def test_a_missing_package(train, monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--logger wandb: not installed; run: pip install wandb"):
        train("wandb")
    assert metrics.logger_class(None) is None


def test_a_logger_that_cannot_be_created(train, monkeypatch):
    def refuse(self, save_dir):
        raise ValueError("no\naccount")

    monkeypatch.setattr(Recorder, "__init__", refuse)
    with pytest.raises(UserError, match="--logger Recorder: cannot be created: no account"):
        train("recording.Recorder")


def test_a_full_disk_under_tensorboard(train, monkeypatch):
    def fail(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", fail)
    with pytest.raises(UserError, match="the disk is full"):
        train("tensorboard")


@pytest.mark.parametrize("written", [0, 3], ids=["at the start", "later"])
def test_a_full_disk_in_the_thread_that_writes_events(train, monkeypatch, written):
    left = written
    write = RecordWriter.write

    def fail(writer, data):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(writer, data)

    monkeypatch.setattr(RecordWriter, "write", fail)
    with pytest.raises(UserError, match="the disk is full"):  # and no warning of the thread's own
        train("tensorboard")


def test_errors_of_other_threads_are_still_shown(train, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    train("tensorboard", max_steps=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert [arguments.exc_type for arguments in shown] == [ZeroDivisionError]
