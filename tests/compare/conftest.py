"""Suites whose runs are simulated."""

import sys
from pathlib import Path

import pytest
import yaml

from relational_rnn.compare.queue import Queue
from relational_rnn.compare.suite import read_suite
from relational_rnn.sweep import runner, worker
from relational_rnn.sweep.runner import Runner

SMALL = {
    "max_steps": 10,
    "validate_every": 5,
    "batch_size": 8,
    "valid_examples": 20,
    "test_examples": 30,
    "readout_size": 16,
    "readout_layers": 1,
    "embedding_size": 8,
}
GIVEN = {
    "cores": {"rmc": {"head_size": 12, "num_heads": 2}, "lstm": {}},
    "learning_rates": [0.01, 0.001],
    "seeds": [1, 2, 3],
    "fields": SMALL,
    "tasks": {
        "parity": {
            "base": "state-tracking",
            "fields": {"length": 16, "train_length": 8},
            "threshold": 0.72,
        }
    },
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Work in an empty folder, with simulated runs that are polled often."""
    monkeypatch.chdir(tmp_path)
    pretend = str(Path(__file__).with_name("pretend.py"))
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-S", "-E", pretend))
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.02)


@pytest.fixture
def make_suite(tmp_path):
    """Write a suite's file, and read it."""

    def make(**given):
        (tmp_path / "tiny.yaml").write_text(
            yaml.safe_dump(GIVEN | given, sort_keys=False), encoding="utf-8"
        )
        return read_suite("tiny.yaml")

    return make


@pytest.fixture
def run_suite():
    """Run a suite to its end; return its queue and what was said."""

    def run(suite, folder="runs/tiny", workers=2):
        said = []
        queue = Queue(suite, Path(folder))
        assert Runner(queue, workers=workers, say=said.append).run() == 0
        return queue, said

    return run
