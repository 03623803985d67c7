"""rrnn list: everything that has a name."""

import pytest

from relational_rnn.config import TASKS, NthFarthestConfig, shipped
from relational_rnn.runs import Run, shipped_models


def test_what_the_package_has(rrnn):
    answer = rrnn("list", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [row["name"] for row in answer.json["configurations"]] == list(shipped())
    assert [row["name"] for row in answer.json["models"]] == shipped_models()
    assert "wikitext2-cores" in [row["name"] for row in answer.json["sweeps"]]
    assert answer.json["runs"] == []
    assert [row["name"] for row in answer.json["tasks"]] == list(TASKS)
    words = [line.split() for line in answer.out.splitlines()]
    assert ["demo-lstm", "lstm", "The", "LSTM", "of", "`rrnn", "demo`"] in words
    assert "configurations of language-modeling: rrnn train NAME" in answer.out
    assert ["none"] in words
    assert "your runs (in runs/): rrnn test NAME" in answer.out
    for kind in ("configurations", "models", "sweeps", "suites"):
        assert all(row["description"] for row in answer.json[kind])
    assert "10.71 M weights, trained on wikitext-2" in answer.out
    names = [row["name"] for row in answer.json["configurations"]]
    assert names == sorted(names)


def test_runs_and_their_state(rrnn, make_run, tmp_path):
    make_run()
    run = Run("runs/far")
    run.save_config(NthFarthestConfig(model="lstm"))
    rows = ["step,valid_accuracy", "10,", "20,0.25", "30,0.75", "40,0.5", "50,0."]
    run.metrics_path.write_text("\n".join(rows), encoding="utf-8")
    stopped = make_run("stopped")
    stopped.save_summary({"finished": False})
    (tmp_path / "runs" / "report").mkdir()  # not a run
    answer = rrnn("list", "--json")
    assert (answer.code, answer.err) == (0, "")
    far, mine, second = answer.json["runs"]
    assert far == {
        "name": "far",
        "task": "nth-farthest",
        "data": None,
        "core": "lstm",
        "state": "resumable",
        "metric": "accuracy",
        "best": 0.75,
    }
    assert (mine["name"], mine["state"], mine["best"]) == ("mine", "finished", 8.0)
    assert (second["name"], second["state"]) == ("stopped", "resumable")
    assert "accuracy 75.00%" in answer.out
    assert "perplexity 8.00" in answer.out


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("summary.json", b"[]", id="summary a list"),
        pytest.param("summary.json", b"[" * 100_000, id="summary deep"),
        pytest.param("summary.json", b'{"steps": "x"}', id="steps no number"),
        pytest.param("metrics.csv", b"step,x\n" + b"1" * 200_000, id="a very long field"),
    ],
)
def test_a_file_that_breaks_its_reader_is_one_note(rrnn, make_run, file, content):
    (make_run("broken").folder / file).write_bytes(content)
    answer = rrnn("list", "--json")
    assert (answer.code, answer.err.count("\n")) == (0, 1)
    assert [row["state"] for row in answer.json["runs"]] == ["broken"]


def test_a_broken_run_is_one_note(rrnn, make_run, tmp_path):
    make_run()
    broken = make_run("broken")
    broken.summary_path.write_text("{", encoding="utf-8")
    other = make_run("other")
    other.config_path.write_text("mem_slot: 3\n", encoding="utf-8")
    answer = rrnn("list", "--json")
    assert answer.code == 0
    assert [row["state"] for row in answer.json["runs"]] == ["broken", "finished", "broken"]
    first, second = answer.err.splitlines()
    assert first.startswith("note: runs/broken/summary.json: broken: ")
    assert second.startswith("note: runs/other/config.yaml: mem_slot: unknown field")


def test_a_finished_run_has_the_figure_of_its_summary(rrnn, make_run):
    run = make_run()
    run.save_summary({"steps": 10, "finished": True, "valid": {"perplexity": 7.75}})
    (row,) = rrnn("list", "--json").json["runs"]
    assert (row["state"], row["best"]) == ("finished", 7.75)
    run.save_summary({"steps": 9, "finished": True, "valid": {"perplexity": 7.75}})
    (row,) = rrnn("list", "--json").json["runs"]  # resumed since
    assert (row["state"], row["best"]) == ("resumable", 8.0)


def test_a_run_that_is_being_trained(rrnn, make_run):
    run = make_run()
    with run.held(new=False):
        assert rrnn("list", "--json").json["runs"][0]["state"] == "training"
    assert rrnn("list", "--json").json["runs"][0]["state"] == "finished"
    assert rrnn("list").code == 0
    assert not make_run("other").lock_path.exists()
