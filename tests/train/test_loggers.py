"""Loggers that receive the rows of metrics.csv as well."""

import csv
import errno
import os
import signal
import sys
import threading
from contextlib import suppress
from types import ModuleType

import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.record_writer import RecordWriter

from relational_rnn.config import load
from relational_rnn.errors import UserError
from relational_rnn.runs import Run
from relational_rnn.signals import Interrupted
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
def test_events_are_in_the_run_folder_and_are_cut_back_on_resume(train, monkeypatch, logger):
    # Files of one second and process are read in the order of a counter's digits: 10 before 9.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    run = train(logger, max_steps=5)
    assert steps_of_events(run) == [2, 4, 5]
    names = {path.name.split(".")[0] for path in run.folder.iterdir()}
    assert names >= {"events", "metrics"}
    assert not names & {"hparams", "lightning_logs", "default"}
    # As if it had been killed between the checkpoint of step 5 and the row of step 6.
    found = metrics.logger_class("tensorboard")
    logged = metrics.open_logger(found, "tensorboard", run, run.config, step=5)
    logged.add({"step": 6, "train_loss": 9.0})
    logged.close("failed")
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
        (
            "no_such_package.Logger",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("recording.Missing", "cannot be imported: .* has no attribute 'Missing'"),
        ("recording.nothing", "must be a class derived from Lightning's Logger"),
        ("recording.", "cannot be imported"),
        (".Logger", "--logger: must be one of"),
        ("..", "--logger: must be one of"),
        ("raising.Logger", "--logger raising.Logger: cannot be imported: RuntimeError: no licence"),
        ("leaving.Logger", "--logger leaving.Logger: cannot be imported: SystemExit: 3"),
        ("broken.Logger", "--logger broken.Logger: cannot be imported: SyntaxError: "),
    ],
)
def test_a_wrong_logger_is_refused(train, tmp_path, monkeypatch, logger, message):
    modules = {"raising": "raise RuntimeError('no licence')", "leaving": "raise SystemExit(3)"}
    for name, text in (modules | {"broken": "class"}).items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message):
        train(logger)
    assert not list((tmp_path / "run").iterdir())


def test_a_missing_package(train, monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--logger wandb: not installed; run: pip install wandb"):
        train("wandb")
    assert metrics.logger_class(None) is None


@pytest.mark.parametrize("method", ["__init__", "log_hyperparams"])
@pytest.mark.parametrize("error", [ValueError, ModuleNotFoundError, ConnectionError, SystemExit])
def test_a_logger_that_cannot_be_created(train, tmp_path, monkeypatch, method, error):
    def refuse(self, *arguments, save_dir="", **options):
        (tmp_path / "run" / "half").mkdir()
        raise error("no\naccount")

    monkeypatch.setattr(Recorder, method, refuse)
    message = f"^--logger recording.Recorder: cannot be created: {error.__name__}: no account$"
    with pytest.raises(UserError, match=message):
        train("recording.Recorder")
    run = Run(tmp_path / "run")
    run.remove_if_empty()  # as the command does
    assert not run.folder.exists()


@pytest.mark.parametrize("method", ["log_metrics", "save", "finalize"])
@pytest.mark.parametrize("error", [ValueError, ConnectionError, SystemExit])
def test_a_logger_that_fails_is_dropped(train, monkeypatch, capsys, method, error):
    def fail(self, *arguments, **options):
        raise error("gone\naway")

    monkeypatch.setattr(Recorder, method, fail)
    run = train("recording.Recorder")
    assert run.summary["steps"] == 4
    assert [row["step"] for row in rows(run.metrics_path)] == ["2", "4"]
    what = "cannot be finished" if method == "finalize" else "cannot log"
    start = f"warning: --logger recording.Recorder: {what}: {error.__name__}: gone away; "
    assert capsys.readouterr().err == f"{start}its log is incomplete\n"


@pytest.mark.parametrize(
    ("signals", "status"),
    [((), "failed"), ((signal.SIGINT,), "aborted"), ((signal.SIGTERM,) * 2, "aborted")],
    ids=["error", "Ctrl-C", "twice"],
)
def test_the_status_says_how_training_ended(train, monkeypatch, signals, status):
    def end(self, *arguments, **options):
        if not signals:
            raise UserError("trouble")
        for number in signals:
            monkeypatch.setattr("relational_rnn.signals.REPEAT_SECONDS", 0.0)
            signal.raise_signal(number)

    monkeypatch.setattr("relational_rnn.train.loop.Loop._due", end)
    with suppress(UserError, Interrupted):
        train("recording.Recorder")
    assert Recorder.last.status == status


def test_a_run_that_cannot_be_saved_closes_its_logger(train, monkeypatch):
    def fail(self, config):
        raise UserError("trouble")

    monkeypatch.setattr(Run, "save_config", fail)
    with pytest.raises(UserError, match="trouble"):
        train("recording.Recorder")
    assert Recorder.last.status == "failed"


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
