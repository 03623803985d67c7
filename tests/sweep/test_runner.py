"""A sweep survives whatever happens to its trials, and to itself."""

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.runs import Run
from relational_rnn.sweep import runner, storage
from relational_rnn.sweep.study import Trials


def begun(number, folder="runs/tiny"):
    """The steps from which a trial was begun, one each time."""
    path = Path(folder) / f"trial-{number:04}" / "begun.txt"
    return [int(line) for line in path.read_text(encoding="utf-8").split()]


def expected(outcome, steps):
    """The result of a simulated trial."""
    return 1000 * outcome.parameters["learning_rate"] + 10 / steps


@contextmanager
def held(trial):
    """Hold a simulated trial at its fourth step."""
    hold = Path(f"hold-{trial}")
    hold.touch()
    yield
    hold.unlink()


def wait_for(path, step):
    """Wait until a trial has reached a step."""
    for _ in range(1000):
        if path.exists() and int(path.read_text(encoding="utf-8") or 0) >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never reached step {step}")


def test_all_trials_are_trained_and_a_rerun_trains_nothing(make_plan, run_sweep):
    plan = make_plan()
    outcomes, said = run_sweep(plan)
    assert [outcome.state for outcome in outcomes] == ["finished"] * 3
    for outcome in outcomes:
        assert outcome.value == pytest.approx(expected(outcome, 4))
        assert (outcome.weights, outcome.seconds) == (10 * outcome.parameters["num_heads"], 1.5)
    assert sum("finished" in line for line in said) == 3
    again, said = run_sweep(plan)
    assert (again, said) == (outcomes, [])


def test_killed_and_started_again_ends_as_never_killed(make_plan, run_sweep, in_a_process):
    plan = make_plan({"max_steps": 6})
    with held("trial-0001"):
        pid = in_a_process(plan)
        wait_for(Path("runs/tiny/trial-0001/checkpoints/last.ckpt"), 4)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    outcomes, said = run_sweep(plan)
    never_killed = Trials(plan, Path("runs/whole"))
    assert len(outcomes) == 3
    for outcome in outcomes:
        assert outcome.parameters == never_killed.acquire().parameters
        assert outcome.value == pytest.approx(expected(outcome, 6))
    assert begun(0) == begun(2) == [0]
    # Resumed from where it was; without its sweep it may have made one more step.
    assert begun(1) in ([0, 4], [0, 5])
    assert any(line.startswith("trial 1 resumed") for line in said)
    assert len(list(Path("runs/tiny").glob("trial-*"))) == 3


def test_two_processes_share_a_sweep(make_plan, in_a_process, run_sweep):
    plan = make_plan(trials=5)
    pids = [in_a_process(plan) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert [begun(number) for number in range(5)] == [[0]] * 5
    outcomes, _ = run_sweep(plan)
    assert [outcome.state for outcome in outcomes] == ["finished"] * 5
    assert len({outcome.parameters["learning_rate"] for outcome in outcomes}) == 5


def test_several_workers(make_plan, run_sweep, monkeypatch):
    # Started as one of several processes itself, a sweep's trials are none the less whole runs.
    monkeypatch.setenv("LOCAL_RANK", "1")
    outcomes, said = run_sweep(make_plan(trials=4), workers=3)
    assert [outcome.state for outcome in outcomes] == ["finished"] * 4
    assert [" started" in line for line in said[:3]] == [True] * 3
    assert [begun(number) for number in range(4)] == [[0]] * 4


def test_a_trial_that_fails_does_not_end_the_sweep(make_plan, run_sweep):
    outcomes, _ = run_sweep(make_plan(rows=[{"num_heads": n} for n in (1, 3, 4, 5, 2, 6)]))
    states = ["finished", "failed", "failed", "finished", "finished", "failed"]
    assert [outcome.state for outcome in outcomes] == states
    assert outcomes[1].error == "RuntimeError: no such number of heads"
    assert outcomes[2].error.startswith("killed by signal 9")
    # Killed once is bad luck, or a machine shut down; twice is its own fault.
    assert [begun(number) for number in range(5)] == [[0], [0], [0, 1], [0, 1], [0]]
    assert outcomes[5].error.endswith("summary.json: broken: 'valid' is missing")


def test_an_unpromising_trial_is_pruned(make_plan, run_sweep, monkeypatch):
    pruner = optuna.pruners.ThresholdPruner(upper=50)
    monkeypatch.setattr(storage, "_pruner", lambda plan: pruner)
    rows = [{"learning_rate": rate, "num_heads": 1} for rate in (0.001, 0.1, 0.002)]
    with held("trial-0001"):
        outcomes, said = run_sweep(make_plan({"max_steps": 8}, rows=rows))
    assert [outcome.state for outcome in outcomes] == ["finished", "pruned", "finished"]
    assert outcomes[1].value > 50
    assert any(line.startswith("trial 1 pruned after step") for line in said)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def stop(request):
    """A signal that ends processes, also where the tests run with it ignored."""
    default = signal.default_int_handler if request.param == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(request.param, default)
    yield request.param
    signal.signal(request.param, before)


def test_told_to_stop(make_plan, in_a_process, run_sweep, stop, capfd):
    plan = make_plan({"max_steps": 6}, trials=1)
    with held("trial-0000"):
        pid = in_a_process(plan)
        wait_for(Path("runs/tiny/trial-0000/checkpoints/last.ckpt"), 4)
        os.kill(pid, stop)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == stop
    again = "; Ctrl-C again to stop now" if stop == signal.SIGINT else ""
    assert capfd.readouterr().err == f"stopping; what is under way is saved{again}\n"
    assert not Path("runs/tiny/trial-0000/summary.json").exists()
    outcomes, _ = run_sweep(plan)
    assert [outcome.state for outcome in outcomes] == ["finished"]
    assert begun(0) == [0, 4]


def test_a_second_signal_kills_the_trials(make_plan, in_a_process, monkeypatch):
    monkeypatch.setattr(runner.Runner, "_stop", lambda self: time.sleep(60))
    with held("trial-0000"):
        pid = in_a_process(make_plan({"max_steps": 6}, trials=1))
        wait_for(Path("runs/tiny/trial-0000/checkpoints/last.ckpt"), 4)
        started = time.monotonic()
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(pid, signal.SIGINT)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert time.monotonic() - started < 30


def test_a_resumed_trial_keeps_its_threads(make_plan, in_a_process, run_sweep):
    plan = make_plan({"max_steps": 6}, trials=1)
    run = Run("runs/tiny/trial-0000")
    with held("trial-0000"):
        pid = in_a_process(plan)
        wait_for(run.last_path, 4)
        os.kill(pid, signal.SIGINT)
        os.waitpid(pid, 0)
    run.save_config(replace(run.config, threads=3))  # as training does
    run_sweep(plan)
    assert Run(run.folder).config.threads == 3


def test_another_number_of_threads_is_the_same_sweep(make_plan, run_sweep):
    run_sweep(make_plan(trials=1))
    outcomes, said = run_sweep(make_plan({"threads": 2}, trials=1))
    assert (len(outcomes), said) == (1, [])


@pytest.mark.parametrize(
    ("workers", "devices", "given", "threads"),
    [(1, 1, None, None), (3, 1, None, "2"), (2, 2, None, "2"), (2, 1, "2", "2"), (2, 1, "64", "4")],
)
def test_trials_share_the_cpus(monkeypatch, workers, devices, given, threads):
    monkeypatch.setattr("relational_rnn.threads.available_cpus", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    config = LanguageModelingConfig(devices=devices)
    assert runner._environment(config, workers).get("OMP_NUM_THREADS") == threads
