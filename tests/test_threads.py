"""CPU threads: the rule, and how long waiting threads spin."""

import os
import subprocess
import sys

import pytest
import torch

from relational_rnn import threads
from relational_rnn.config import load

VARIABLES = (*threads.WAIT_VARIABLES, "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "available_cpus", lambda: 16)


def test_small_cores_run_on_few_threads():
    tiny = load("language-modeling", {"head_size": 8, "batch_size": 4})
    assert threads.threads_for(tiny) == 1
    assert threads.threads_for(load("demo-rmc")) == 3
    assert threads.threads_for(load("demo-lstm")) == 2
    assert threads.threads_for(load("wikitext2-rmc-best")) == 16


def test_all_processes_of_a_machine_share_its_cpus():
    config = load("wikitext2-rmc-best", {"devices": 4})
    assert threads.threads_for(config) == 4


@pytest.mark.parametrize(
    ("given", "count"),
    [("1", 1), ("2", 2), ("4,2", 3), ("64", 3), ("", 3), ("²", 3), ("9" * 5000, 3)],
)
def test_the_environment_sets_the_most(monkeypatch, given, count):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads.threads_for(load("demo-rmc")) == count


@pytest.mark.parametrize(("given", "count"), [("64", 4), ("3", 3), ("0", 1)])
def test_the_environment_cannot_raise_the_share_of_the_cpus(monkeypatch, given, count):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads.most_threads(4) == count
    assert threads.threads_for(load("wikitext2-rmc-best", {"devices": 4})) == count


def test_the_configuration_decides(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    config = load("demo-rmc")
    object.__setattr__(config, "threads", 5)
    assert threads.threads_for(config) == 5


def test_every_shipped_configuration_has_a_number():
    from relational_rnn.config import shipped

    for name in shipped():
        assert 1 <= threads.threads_for(load(name)) <= 16


def test_the_number_of_before_comes_back():
    before = torch.get_num_threads()
    with threads.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with threads.using_threads(None):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def policy(environment, busy=False):
    """The wait variables after ``set_wait_policy`` in a process without torch."""
    code = f"""
import os
from relational_rnn import threads
threads.is_busy = lambda: {busy}
threads.set_wait_policy()
print({{name: os.environ.get(name) for name in threads.WAIT_VARIABLES}})
"""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return eval(done.stdout)


def test_threads_that_wait_spin_for_a_short_time():
    assert policy({}) == {
        "OMP_WAIT_POLICY": None,
        "GOMP_SPINCOUNT": str(threads.IDLE_SPINS),
        "KMP_BLOCKTIME": str(threads.IDLE_MILLISECONDS),
    }
    assert policy({}, busy=True)["GOMP_SPINCOUNT"] == str(threads.BUSY_SPINS)


@pytest.mark.parametrize("name", threads.WAIT_VARIABLES)
def test_what_the_user_sets_stays(name):
    found = policy({name: "active"})
    assert found.pop(name) == "active"
    assert set(found.values()) == {None}


def test_nothing_is_set_once_torch_is_there():
    threads.set_wait_policy()
    assert not set(threads.WAIT_VARIABLES) & set(os.environ)


class Clock:
    """Stands in for ``time``: a sleep lasts as long as a test says."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 100.0

    def sleep(self, wanted):
        self.now += self.seconds

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(
    ("cpus", "seconds", "idle", "busy"),
    [
        pytest.param(2, 0.05, [0.05, 0.05], False, id="idle"),
        pytest.param(2, 0.05, [0.05, 0.04], False, id="nearly idle"),
        pytest.param(2, 0.05, [0.05, 0.0], True, id="one busy process"),
        pytest.param(2, 0.05, [0.0, 0.0], True, id="two busy processes"),
        pytest.param(2, 0.05, [0.05, 0.05, 0.0, 0.0], False, id="two idle CPUs and a quota of two"),
        pytest.param(64, 0.05, [0.05] * 63 + [0.0], False, id="one busy of 64"),
        pytest.param(64, 0.05, [0.05] * 40 + [0.0] * 24, True, id="24 busy of 64"),
        pytest.param(2, 0.2, [0.05, 0.05], True, id="woken up late"),
        pytest.param(2, 0.05, [], False, id="unknown"),
    ],
)
def test_a_busy_machine(monkeypatch, cpus, seconds, idle, busy):
    samples = iter([[100.0] * len(idle), [100.0 + value for value in idle]])
    monkeypatch.setattr(threads, "available_cpus", lambda: cpus)
    monkeypatch.setattr(threads, "_idle_seconds", lambda: next(samples))
    monkeypatch.setattr(threads, "time", Clock(seconds))
    assert threads.is_busy() is busy


def test_the_system_tells_how_long_each_cpu_was_idle():
    found = threads._idle_seconds()
    assert all(value >= 0 for value in found)
    if os.path.exists("/proc/stat"):
        assert len(found) == len(os.sched_getaffinity(0))
