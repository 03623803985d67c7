from pathlib import Path

import pytest

from relational_rnn.cli.demo import CONFIGS
from relational_rnn.config import load


def test_both_differ_in_the_core_alone():
    rmc, lstm = (load(name) for name in CONFIGS)
    core = {"name", "model", "head_size", "hidden_size"}
    assert {key for key, value in vars(rmc).items() if vars(lstm)[key] != value} <= core


def test_demo_beside_an_older_one(rrnn, text):
    older = Path("runs/demo-rmc-1/metrics.csv")
    older.parent.mkdir(parents=True)
    older.write_text("kept", encoding="utf-8")
    answer = rrnn("demo", "--data", text, "--max-steps", 1, "--json")
    assert answer.code == 0, answer.err
    rows = answer.json["runs"]
    assert [(row["run"], row["model"]) for row in rows] == [
        ("demo-rmc-2", "rmc"),
        ("demo-lstm-1", "lstm"),
    ]
    assert rows[0]["parameters"] == pytest.approx(rows[1]["parameters"], rel=0.02)
    assert all(1 < row["test"] < 100 for row in rows)
    assert answer.json["text"]
    assert Path(answer.json["picture"]).is_file()
    assert older.read_text(encoding="utf-8") == "kept"
