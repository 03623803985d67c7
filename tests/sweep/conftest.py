"""Sweeps whose trials are simulated, and processes that run them."""

import os
import sys
import warnings
from pathlib import Path

import pytest
import yaml
from sqlalchemy import event
from sqlalchemy.engine import Engine

from relational_rnn.sweep import runner, worker
from relational_rnn.sweep.plan import read_plan
from relational_rnn.sweep.runner import Runner
from relational_rnn.sweep.storage import need_optuna
from relational_rnn.sweep.study import Trials

FIELDS = {"max_steps": 4, "validate_every": 4, "head_size": 4}
SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "num_heads": [1, 2]}


@pytest.fixture(autouse=True)
def databases_in_haste():
    """SQLite does not wait for the disk: these processes are killed, the machine is not."""

    def set_up(connection, record):
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", set_up)
    yield
    event.remove(Engine, "connect", set_up)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Work in an empty folder, with simulated trials that are polled often."""
    need_optuna()
    monkeypatch.chdir(tmp_path)
    pretend = str(Path(__file__).with_name("pretend.py"))
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-S", "-E", pretend))
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.02)


@pytest.fixture
def make_plan(tmp_path):
    """Write a sweep's file, and read it."""

    def make(fields=None, **given):
        given = {"base": "language-modeling", "fields": FIELDS | (fields or {}), **given}
        if "rows" not in given:
            given = {"space": SPACE, "trials": 3, "sampler": "random", **given}
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        return read_plan("tiny.yaml")

    return make


@pytest.fixture
def run_sweep():
    """Run a plan to its end; return its trials and what was said."""

    def run(plan, folder="runs/tiny", workers=1):
        said = []
        trials = Trials(plan, Path(folder))
        assert Runner(trials, workers=workers, say=said.append).run() == 0
        return trials.outcomes(), said

    return run


@pytest.fixture
def in_a_process():
    """Run a plan in its own process; return the process's id."""

    def start(plan, folder="runs/tiny"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # threads of libraries, which the process does not use
            pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            code = Runner(Trials(plan, Path(folder)), workers=1, say=lambda text: None).run()
        finally:
            os._exit(code)

    return start
