"""The process of a trial, with its own exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from relational_rnn.config import load
from relational_rnn.runs import Run
from relational_rnn.sweep.worker import COMMAND, FULL_DISK

SMALL = {"max_steps": 2, "valid_examples": 8, "test_examples": 8, "length": 8, "train_length": 8}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk(tmp_path):
    Run(tmp_path / "run").save_config(load("cpu-parity", SMALL))
    assert COMMAND[0] == sys.executable
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [*COMMAND, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=full, stderr=full
        )
        assert process.wait(120) == FULL_DISK
        process.communicate()
