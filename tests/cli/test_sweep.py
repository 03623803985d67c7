import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

SMALL = {
    "embedding_size": 8,
    "head_size": 4,
    "batch_size": 4,
    "bptt": 10,
    "max_steps": 2,
    "validate_every": 1,
}


@pytest.fixture
def write(text, tmp_path):
    """Write a sweep's file."""

    def to_file(fields=None, **given):
        fields = SMALL | {"data": str(text)} | (fields or {})
        given = {"base": "language-modeling", "fields": fields, **given}
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")

    return to_file


@pytest.fixture
def two_heads(write):
    write(space={"num_heads": [1, 2]}, trials=2)


@pytest.mark.slow
def test_rows_against_published_figures(rrnn, write):
    write(rows=[{"num_heads": 1, "published": 10}, {"num_heads": 2, "published": 5}])
    answer = rrnn("sweep", "tiny.yaml", "--run", "mine", "--max-steps", 1, "--json", "--workers", 2)
    assert answer.code == 0, answer.err
    trials = sorted(answer.json["trials"], key=lambda row: row["trial"])
    assert [row["parameters"] for row in trials] == [{"num_heads": 1}, {"num_heads": 2}]
    assert [row["published_rank"] for row in trials] == [2, 1]
    assert abs(answer.json["spearman"]) == pytest.approx(1)
    assert trials[0]["weights"] < trials[1]["weights"]
    folder = Path("runs/mine")
    assert json.loads((folder / "table.json").read_text(encoding="utf-8"))["trials"]
    for name in ("table.md", "sweep.html", "study.db", "sweep.yaml"):
        assert (folder / name).is_file()
    # Every trial is a run like any other.
    tested = rrnn("test", "runs/mine/trial-0001", "--split", "valid", "--json").json
    assert tested["perplexity"] == pytest.approx(trials[1]["valid_perplexity"], rel=1e-5)
    assert "steps 1 to 1" in (folder / "trial-0001" / "trial.log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("two_heads")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nobody"], "nobody: no such sweep"),
        (["tiny.yaml", "--workers", "0"], "--workers: must be at least 1, got 0"),
        (["tiny.yaml", "--trials", "0"], "--trials: must be an integer >= 1, got 0"),
        (["tiny.yaml", "--learning-rate", "-1"], "learning_rate: must be above 0, got -1.0"),
        (["tiny.yaml", "--num-heads", "3"], "--num-heads: the sweep searches num_heads"),
        (
            ["tiny.yaml", "--num-nodes", "2"],
            "num_nodes: must be 1, because a trial runs on one machine, got 2",
        ),
        (["tiny.yaml", "--data", "nowhere"], "nowhere: must be a data set"),
        (["tiny.yaml", "--head", "4"], "head: must be one of full, adaptive, got '4'"),
        (["tiny.yaml", "--trial", "4"], "did you mean --trials"),
    ],
)
def test_mistakes_take_one_line_and_leave_nothing(rrnn, options, message):
    answer = rrnn("sweep", *options)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    assert not Path("runs").exists()


@pytest.mark.usefixtures("two_heads")
@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "nonsense",
            "or postgresql://USER@HOST/NAME, got 'nonsense'",
        ),
        ("mongodb://me:secret@host/x", "mongodb://me:***@host/x: cannot be opened"),
        ("sqlite:////nowhere/x.db", "unable to open database file"),
    ],
)
def test_databases_that_cannot_be_opened(rrnn, url, message):
    answer = rrnn("sweep", "tiny.yaml", "--storage", url)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    assert "secret" not in answer.err
    assert not Path("runs").exists()


@pytest.fixture
def locked(rrnn, two_heads, monkeypatch):
    """Begin a sweep; return a function that locks its database until the test's end."""
    monkeypatch.setattr("relational_rnn.sweep.storage.BUSY_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr("relational_rnn.sweep.runner.Runner.run", lambda self: signal.SIGINT)
        assert rrnn("sweep", "tiny.yaml").code == 130
    other = sqlite3.connect("runs/tiny/study.db", isolation_level=None)
    yield lambda: other.execute("BEGIN EXCLUSIVE")
    other.close()


def test_a_database_that_is_locked_from_the_start(rrnn, locked):
    locked()
    answer = rrnn("sweep", "tiny.yaml")
    assert (answer.code, answer.out, answer.err) == (
        2,
        "",
        "error: runs/tiny/study.db: cannot be opened: another process keeps it locked for over "
        "0.05 s; wait for it or stop it\n",
    )


def test_a_database_that_is_locked_later(rrnn, locked, monkeypatch):
    def run(self):
        locked()
        self.trials.acquire()

    monkeypatch.setattr("relational_rnn.sweep.runner.Runner.run", run)
    answer = rrnn("sweep", "tiny.yaml")
    assert (answer.code, answer.out, answer.err) == (
        2,
        "",
        "error: runs/tiny/study.db: the database failed: another process keeps it locked for "
        "over 0.05 s; wait for it or stop it; resume with: rrnn sweep tiny.yaml\n",
    )


def test_a_database_that_is_damaged(rrnn, locked):
    Path("runs/tiny/study.db").write_bytes(b"no database" * 1000)
    answer = rrnn("sweep", "tiny.yaml")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "runs/tiny/study.db: cannot be opened: file is not a database" in answer.err


@pytest.mark.usefixtures("two_heads")
def test_without_optuna(rrnn, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    answer = rrnn("sweep", "tiny.yaml")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "pip install optuna" in answer.err


@pytest.mark.usefixtures("two_heads")
def test_stopped_it_prints_how_to_resume(rrnn, monkeypatch):
    monkeypatch.setattr("relational_rnn.sweep.runner.Runner.run", lambda self: signal.SIGINT)
    answer = rrnn("sweep", "tiny.yaml", "--max-steps", 9, "--betas", 0.8, 0.9, "--json")
    assert answer.code == 130
    assert answer.out.splitlines() == [
        "stopped and saved, 0 of 2 trials finished",
        "resume with: rrnn sweep tiny.yaml --json --max-steps 9 --betas 0.8 0.9",
    ]


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_never_killed(rrnn, write):
    fields = {"max_steps": 300, "validate_every": 100, "checkpoint_every": 10}
    write(fields, space={"learning_rate": {"low": 0.001, "high": 0.01}}, trials=2, sampler="random")
    command = [sys.executable, "-m", "relational_rnn", "sweep", "tiny.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    last = Path("runs/tiny/trial-0000/checkpoints/last.ckpt")
    for _ in range(600):
        if last.exists():
            break
        time.sleep(0.1)
    process.kill()  # the trial's own process sees that, saves and ends
    process.wait()
    killed = rrnn("sweep", "tiny.yaml", "--json")
    assert killed.code == 0, killed.err
    assert "trial 0 resumed" in killed.out
    assert "steps 1 to" not in Path("runs/tiny/trial-0000/trial.log").read_text().split("\n", 1)[1]
    whole = rrnn("sweep", "tiny.yaml", "--run", "whole", "--json")
    for one, other in zip(killed.json["trials"], whole.json["trials"], strict=True):
        for name in ("trial", "parameters", "valid_perplexity", "test_perplexity"):
            assert one[name] == other[name]
