"""Training on an idle and on a busy machine."""

import pytest

from relational_rnn.bench import busy, report

TINY = [
    "--max-steps",
    "10",
    "--batch-size",
    "4",
    "--head-size",
    "4",
    "--valid-examples",
    "4",
    "--test-examples",
    "4",
]


def row(machine: str, **rates: float) -> dict[str, object]:
    return {"row": "tiny", "machine": machine, "unit": "examples", **rates}


def test_the_worst_choice_is_held_against_the_bound():
    good = {"chosen": 100.0, "one": 50.0, "spinning": 105.0, "sleeping": 10.0}
    bad = {"chosen": 40.0, "one": 100.0, "spinning": 1.0, "sleeping": 30.0}
    rows = [row("idle", **good), {**row("busy", **bad), "row": "slow"}, row("busy", **good)]
    idle, loaded = busy._ratios(rows)
    assert (idle["value"], idle["met"]) == (1.05, True)
    assert (loaded["value"], loaded["met"]) == (2.5, False)
    assert "(slow)" in loaded["ratio"]


def test_the_first_row_of_a_training_is_left_out(tmp_path):
    table = tmp_path / "metrics.csv"
    table.write_text("step,tokens_per_s\n10,5\n20,30\n30,50\n", encoding="utf-8")
    assert busy._rates(table) == ([30.0, 50.0], "tokens")
    assert busy._rates(tmp_path / "none.csv") == ([], "")


@pytest.mark.slow
def test_real_trainings_and_one_that_fails():
    cases = {"memorization": TINY, "nowhere.yaml": ["--max-steps", "10"]}
    result = busy.MEASUREMENT.run(cases=cases, rounds=1)
    good = [line for line in result["rows"] if line["row"] == "memorization"]
    assert [line["machine"] for line in good] == ["idle", "busy"]
    assert all(line[way] > 0 for line in good for way in busy.WAYS)
    assert all("error" in line for line in result["rows"] if line not in good)
    markdown = report.as_markdown(result, "rrnn bench --busy")
    assert "no rate of chosen" in markdown
    assert "threads, sleeping" in markdown
