"""rrnn compare: a comparison from its file to its page, with real runs."""

import json
import signal
from pathlib import Path

import pytest
import yaml

SUITE = {
    "cores": {"lstm": {"hidden_size": 24}, "transformer": {"num_heads": 2}},
    "learning_rates": [0.01],
    "fields": {
        "max_steps": 4,
        "validate_every": 2,
        "batch_size": 8,
        "valid_examples": 10,
        "test_examples": 12,
        "readout_size": 16,
        "readout_layers": 1,
        "threads": 1,
    },
    "tasks": {
        "s3": {"base": "state-tracking", "fields": {"group": "s3", "length": 8, "train_length": 4}}
    },
}


@pytest.fixture(autouse=True)
def suite(own_folder):
    Path("tiny.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False), encoding="utf-8")


@pytest.mark.timeout(300)  # two processes start from nothing
def test_from_the_file_to_the_page(rrnn):
    answer = rrnn("compare", "tiny.yaml", "--workers", 2, "--run", "mine", "--json")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("tiny: 0 of 2 runs have ended\n")
    folder = Path("runs/mine")
    assert answer.json["comparison"] == str(folder)
    lstm, transformer = answer.json["rows"]
    assert (lstm["core"], transformer["core"]) == ("lstm", "transformer")
    assert lstm["weights"] == pytest.approx(transformer["weights"], rel=0.01)
    for row in (lstm, transformer):
        assert row["cpu_seconds"]["value"] > 0
        assert [each["length"] for each in row["by_difficulty"]] == [2, 4, 8]
        summary = json.loads((folder / row["runs"]["1"] / "summary.json").read_text("utf-8"))
        assert row["accuracy"]["value"] == summary["test"]["accuracy"]
    for name in ("table.json", "table.md", "accuracy.png", "compare.html"):
        assert (folder / name).is_file()
    again = rrnn("compare", "tiny.yaml", "--run", "mine")
    assert again.out.startswith("tiny: 2 of 2 runs have ended\n")
    # Every cell is a run like any other.
    tested = rrnn("test", folder / "s3-lstm-0.01-1", "--split", "valid", "--json").json
    assert 0 <= tested["accuracy"] <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing"], "nothing: no such suite"),
        (["tiny.yaml", "--workers", "0"], "--workers: must be at least 1, got 0"),
        (["tiny.yaml", "--worker", "2"], "--worker: unknown option; did you mean --workers?"),
    ],
)
def test_mistakes_take_one_line_and_leave_nothing(rrnn, options, message):
    answer = rrnn("compare", *options)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    assert not Path("runs").exists()


def test_stopped_it_prints_how_to_resume(rrnn, monkeypatch):
    monkeypatch.setattr("relational_rnn.sweep.runner.Runner.run", lambda self: signal.SIGINT)
    answer = rrnn("compare", "tiny.yaml", "--workers", 3, "--json")
    assert answer.code == 130
    assert "1 missing" in Path("runs/tiny/table.md").read_text(encoding="utf-8")
    assert answer.out.splitlines() == [
        "tiny: 0 of 2 runs have ended",
        "stopped and saved, 0 of 2 runs have ended",
        "resume with: rrnn compare tiny.yaml --workers 3 --json",
    ]
