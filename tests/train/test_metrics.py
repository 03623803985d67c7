"""metrics.csv: rows, and cutting it back."""

import csv

import pytest

from relational_rnn.errors import UserError
from relational_rnn.train.metrics import Metrics

COLUMNS = ("step", "train_loss", "valid_loss", "tokens_per_s")


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def filled(path, steps):
    metrics = Metrics(path, COLUMNS, step=0)
    for step in steps:
        metrics.add({"step": step, "train_loss": 1 / step, "tokens_per_s": 10.0})
    return metrics


def test_rows_hold_every_digit_and_lack_what_is_not_known(tmp_path):
    path = tmp_path / "metrics.csv"
    filled(path, [3])
    assert rows(path) == [
        {"step": "3", "train_loss": repr(1 / 3), "valid_loss": "", "tokens_per_s": "10.0"}
    ]


def test_cut_back(tmp_path):
    path = tmp_path / "metrics.csv"
    filled(path, range(1, 13))
    Metrics(path, COLUMNS, step=10)
    assert [row["step"] for row in rows(path)] == [str(step) for step in range(1, 11)]


@pytest.mark.parametrize("kept", range(1, 25))
def test_a_row_cut_short_is_removed(tmp_path, kept):
    path = tmp_path / "metrics.csv"
    filled(path, [10, 20])
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole[: -len(last)] + last[:kept])
    Metrics(path, COLUMNS, step=10)
    assert [row["step"] for row in rows(path)] == ["10"]


def test_a_new_run_starts_afresh(tmp_path):
    path = tmp_path / "metrics.csv"
    filled(path, [10, 20])
    Metrics(path, COLUMNS, step=0)
    assert rows(path) == []


def test_a_table_of_an_earlier_version_keeps_its_columns(tmp_path):
    path = tmp_path / "metrics.csv"
    digest = filled(path, [10, 20]).digest
    later = ("step", "train_loss", "valid_loss", "valid_accuracy_place_0", "tokens_per_s")
    for _ in range(2):  # killed before its next checkpoint, it is resumed with the same digest
        metrics = Metrics(path, later, step=20, digest=digest)
        metrics.add({"step": 30, "valid_loss": 0.5, "valid_accuracy_place_0": 0.5})
    assert Metrics(path, later, step=30, digest=metrics.digest).digest == metrics.digest
    assert list(rows(path)[0]) == list(COLUMNS)
    assert [row["valid_loss"] for row in rows(path)] == ["", "", "0.5"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ((b"20,", b"\xff0,"), "not UTF-8 at byte"),
        ((b"20,", "²,".encode()), "line 3 begins with '²', not a step"),
        ((b"20,", b"9" * 5000 + b","), "line 3 begins with '99999999999999999999', not a step"),
        ((b"20,", b"2,0,"), "line 3 has 5 of 4 fields"),
    ],
)
def test_a_damaged_table_is_named_and_kept(tmp_path, damage, message):
    path = tmp_path / "metrics.csv"
    filled(path, [10, 20, 30])
    damaged = path.read_bytes().replace(*damage)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="metrics.csv: broken: " + message) as caught:
        Metrics(path, COLUMNS, step=20)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_have_changed_are_named(tmp_path):
    path = tmp_path / "metrics.csv"
    digest = filled(path, [10, 20]).digest
    assert Metrics(path, COLUMNS, step=20, digest=digest).digest == digest
    whole = path.read_bytes()
    for damaged in (whole.replace(b"0.05", b"0.06"), whole[: whole.index(b"20,")]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="its rows have changed since the last checkpoint"):
            Metrics(path, COLUMNS, step=20, digest=digest)
        assert path.read_bytes() == damaged


def test_times_may_differ_and_the_table_may_be_moved_away(tmp_path):
    path = tmp_path / "metrics.csv"
    digest = filled(path, [10, 20]).digest
    path.write_bytes(path.read_bytes().replace(b",10.0\n", b",11.5\n"))
    assert Metrics(path, COLUMNS, step=20, digest=digest).digest == digest
    path.unlink()
    assert Metrics(path, COLUMNS, step=20, digest=digest).digest == ""


def test_rows_of_a_later_step_are_not_compared(tmp_path):
    path = tmp_path / "metrics.csv"
    digest = filled(path, [10]).digest
    filled(path, [10, 20])
    assert Metrics(path, COLUMNS, step=10, digest=digest).digest == digest
