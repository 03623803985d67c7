"""Who may train which trial."""

from dataclasses import replace
from pathlib import Path

import pytest

from relational_rnn.errors import UserError
from relational_rnn.sweep import study
from relational_rnn.sweep.plan import PRUNERS
from relational_rnn.sweep.study import Trials

SHARED = "sqlite:///shared.db"


def test_a_trial_has_one_lease(make_plan):
    plan = make_plan()
    here, there = (Trials(plan, Path("runs/tiny")) for _ in range(2))
    leases = [trials.acquire() for trials in (here, there, here)]
    assert [lease.number for lease in leases] == [0, 1, 2]
    assert not any(lease.resumed for lease in leases)
    assert here.acquire() is there.acquire() is None
    assert not here.over
    leases[1].release()  # as the system does when a process dies
    again = here.acquire()
    assert (again.number, again.resumed) == (1, True)
    assert again.parameters == leases[1].parameters
    for lease in (leases[0], again, leases[2]):
        lease.finish(3.0, {"weights": 7})
    assert here.over
    assert there.over
    assert [outcome.weights for outcome in there.outcomes()] == [7] * 3


def test_left_before_it_had_its_values(make_plan):
    plan = make_plan()
    usual = Trials(plan, Path("runs/usual")).acquire().parameters
    trials = Trials(plan, Path("runs/tiny"))
    trials._study.ask()
    lease = trials.acquire()
    assert (lease.number, lease.resumed) == (0, True)
    assert lease.parameters == usual


def test_machines_that_see_no_locks_of_each_other(make_plan, monkeypatch):
    monkeypatch.setattr(study, "SETTLE_SECONDS", 0)
    plan = make_plan(trials=2)
    here, there = (Trials(plan, Path(where) / "tiny", SHARED) for where in ("here", "there"))
    mine, yours = here.acquire(), there.acquire()
    assert (mine.number, yours.number) == (0, 1)
    mine.heartbeat()
    assert there.acquire() is None
    assert there.acquire() is None  # the heartbeat is recent
    monkeypatch.setattr(study, "GRACE_SECONDS", 0)
    mine.beaten = 0.0
    mine.heartbeat()
    assert there.acquire() is None  # the heartbeat has changed
    taken = there.acquire()
    assert (taken.number, taken.parameters) == (0, mine.parameters)
    taken.finish(1.0, {})
    mine.finish(2.0, {})  # too late
    assert here.outcomes()[0].value == 1.0


def test_one_sweep_to_a_folder(make_plan):
    plan = make_plan()
    Trials(plan, Path("runs/tiny"))
    Trials(replace(plan, trials=9, base=replace(plan.base, device="cpu")), Path("runs/tiny"))
    for other, message in (
        (replace(plan, sampler="tpe"), "its sampler differs"),
        (replace(plan, base=replace(plan.base, bptt=9)), "bptt was 35 and is 9 now"),
    ):
        with pytest.raises(UserError, match=message):
            Trials(other, Path("runs/tiny"))


def test_a_renamed_folder_keeps_its_trials(make_plan):
    plan = make_plan()
    Trials(plan, Path("runs/tiny")).acquire().finish(1.0, {})
    Path("runs/tiny").rename("runs/other")
    assert [outcome.value for outcome in Trials(plan, Path("runs/other")).outcomes()] == [1.0]


def test_values_of_all_kinds_come_back_as_they_were(make_plan):
    space = {
        "betas": [[0.9, 0.999], [0.8, 0.99]],
        "key_size": [None, 16],
        "tied": [True, False],
        "batch_size": {"low": 8, "high": 24, "step": 8},
    }
    trials = Trials(make_plan(space=space, sampler="tpe", trials=8), Path("runs/tiny"))
    found = []
    for _ in range(8):
        lease = trials.acquire()
        lease.finish(len(found), {})
        found.append(lease.parameters)
    seen = {name: {row[name] for row in found} for name in space}
    assert seen["betas"] == {(0.9, 0.999), (0.8, 0.99)}
    assert seen["key_size"] == {None, 16}
    assert seen["tied"] == {True, False}
    assert seen["batch_size"] <= {8, 16, 24}
    assert [outcome.parameters for outcome in trials.outcomes()] == found


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_are_told_every_validation_once(make_plan, pruner):
    trials = Trials(make_plan(pruner=pruner), Path("runs/tiny"))
    lease = trials.acquire()
    assert not lease.report([9.0])
    lease.release()
    again = trials.acquire()
    assert not again.report([9.0, 8.0])
    assert not again.report([9.0, 8.0])
    assert again.trial.study.trials[0].intermediate_values == {1: 9.0, 2: 8.0}
    again.prune()
    assert [outcome.value for outcome in trials.outcomes()] == [8.0]


def test_a_run_is_not_a_sweep(make_plan):
    Path("runs/tiny").mkdir(parents=True)
    Path("runs/tiny/config.yaml").touch()
    with pytest.raises(UserError, match="is a run, not a sweep"):
        Trials(make_plan(), Path("runs/tiny"))


NAMES = ["?mode=memory", "q#b%3Fc{d} 'größe'", "not utf-8 \udcff"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_sweep_stays_in_its_folder_whatever_its_name(make_plan, name):
    plan = make_plan()
    try:
        Path("runs", name).mkdir(parents=True)
    except OSError:
        pytest.skip("the file system does not allow this name")
    Trials(plan, Path("runs", name)).acquire().finish(1.0, {})
    assert Path("runs", name, "study.db").stat().st_size > 0
    assert [path.name for path in Path("runs").iterdir()] == [name]
    assert [outcome.value for outcome in Trials(plan, Path("runs", name)).outcomes()] == [1.0]


def test_folders_that_differ_after_a_question_mark_are_two_sweeps(make_plan):
    plan = make_plan()
    Trials(plan, Path("runs/q?b")).acquire().finish(1.0, {})
    assert Trials(plan, Path("runs/q?c")).outcomes() == []


def test_a_sweep_that_is_refused_leaves_no_folder(make_plan):
    plan = make_plan()
    Trials(plan, Path("here/tiny"), SHARED)
    with pytest.raises(UserError, match="its seed differs"):
        Trials(replace(plan, seed=9), Path("there/tiny"), SHARED)
    assert not Path("there/tiny").exists()


@pytest.mark.parametrize("stored", ["{", "[]", "{}", "7", '{"fields": 3}', "[" * 100_000], ids=len)
def test_a_stored_plan_that_is_damaged(make_plan, stored):
    trials = Trials(make_plan(), Path("runs/tiny"))
    trials._study.set_user_attr("plan", stored)
    with pytest.raises(UserError, match=r"its database is damaged|its \w+ differs"):
        Trials(make_plan(), Path("runs/tiny"))
