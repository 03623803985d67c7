import subprocess
import sys

import pytest

from relational_rnn.bench.speed import TimedCase
from relational_rnn.bench.worker import Worker, WorkerError


def test_process_that_dies_is_an_error(tiny):
    with Worker(TimedCase, tiny("lstm")) as worker:
        worker._process.kill()
        for _ in range(2):
            with pytest.raises(WorkerError, match="worker process exited with code -9"):
                worker.call("check")


def test_worker_processes_hold_nothing_for_the_output():
    code = """
import sys, relational_rnn.bench.scale, relational_rnn.bench.speed
print(sorted({"matplotlib", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
