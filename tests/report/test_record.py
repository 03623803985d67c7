import json
import math

import pytest

from relational_rnn.errors import UserError
from relational_rnn.report.record import read


def test_columns_and_empty_cells(make_run):
    record = read(make_run())
    assert record.task == "language-modeling"
    assert record.metrics["step"] == [10, 20, 30, 40]
    assert math.isnan(record.metrics["valid_loss"][0])
    assert record.curve("tokens", "valid_perplexity") == ([2000, 4000], [90.0, 81.5])
    assert record.curve("no such column", "step") == ([], [])
    assert record.best == 81.5


def test_row_of_a_finished_run(make_run):
    assert read(make_run()).row() == {
        "run": "first",
        "model": "rmc",
        "parameters": 1_234_567,
        "steps": 40,
        "tokens": 4000,
        "seconds": 90.0,
        "tokens_per_s": 456.7,
        "measure": "perplexity",
        "valid": 80.25,
        "test": 77.123,
        "finished": True,
    }


def test_row_of_a_run_that_is_going_on(make_run):
    row = read(make_run(summary=False)).row()
    assert (row["valid"], row["test"], row["finished"]) == (81.5, None, False)
    assert (row["parameters"], row["tokens_per_s"]) == (None, 500.0)


def test_before_the_first_validation(make_run):
    record = read(make_run(rows=["10,0,1000,2.5,0.001,5.0,148.4,,,400.0"], summary=False))
    assert record.best is None
    assert record.row()["valid"] is None


def test_a_row_that_was_cut_off_is_left_out(make_run):
    rows = ["10,0,1000,2.5,0.001,5.0,148.4,,,400.0", "20,0,20"]
    assert read(make_run(rows=rows, end="")).metrics["step"] == [10]


def test_accuracy_is_better_when_higher(make_run):
    header = "step,seconds,train_loss,valid_accuracy"
    record = read(make_run(header=header, rows=["1,1,2,0.25", "2,2,1,0.75", "3,3,1,0.5"]))
    assert (record.measure, record.best) == ("accuracy", 0.75)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        pytest.param("config.yaml", None, "config.yaml: cannot be read: No such file", id="config"),
        pytest.param("metrics.csv", None, "metrics.csv: cannot be read", id="metrics"),
        pytest.param("config.yaml", b"a: [", "config.yaml: broken", id="config not YAML"),
        pytest.param(
            "config.yaml", b"words", "config.yaml: broken: not a mapping", id="config a word"
        ),
        pytest.param("config.yaml", b"a: \xff", "config.yaml: broken", id="config not UTF-8"),
        pytest.param("summary.json", b"{", "summary.json: broken", id="summary"),
        pytest.param(
            "summary.json", b"[]", "summary.json: broken: not a JSON object", id="summary a list"
        ),
        pytest.param(
            "summary.json",
            b'{"parameters": "many"}',
            "summary.json: broken: parameters is 'many', not a finite number",
            id="summary of words",
        ),
        pytest.param(
            "summary.json",
            b'{"examples_per_s": 1%s}' % (b"0" * 400),
            "examples_per_s is 1000000000000000000000000000000000000000, not a finite number",
            id="summary out of range",
        ),
        pytest.param("summary.json", b"[" * 100_000, "summary.json: broken", id="summary deep"),
        pytest.param(
            "metrics.csv",
            "²,3\n".encode(),
            "does not name the columns",
            id="metrics begin with a power",
        ),
        pytest.param(
            "metrics.csv",
            "step,valid_perplexity\n²,3\n".encode(),
            "line 2: step is '²', not a number",
            id="a power for a step",
        ),
        pytest.param(
            "metrics.csv",
            b"step,valid_perplexity\n1,2\n\xff,3\n",
            "metrics.csv: broken: 'utf-8' codec can't decode",
            id="metrics not UTF-8",
        ),
        pytest.param(
            "metrics.csv",
            b"step,valid_perplexity\n1,%s\n" % (b"1" * 200_000),
            "metrics.csv: broken: field larger than field limit",
            id="a very long field",
        ),
        pytest.param("metrics.csv", b"", "does not name the columns", id="metrics empty"),
        pytest.param("metrics.csv", b"\x00\xff\x13\n", "metrics.csv: broken", id="metrics binary"),
        pytest.param("metrics.csv", b"step,x\n1,2\n", "does not name the", id="other columns"),
        pytest.param("metrics.csv", b"step,valid_perplexity\n", "no rows yet", id="no row"),
        pytest.param(
            "metrics.csv",
            b"step,valid_perplexity\n1\n",
            "line 2 has 1 fields, not 2",
            id="short row",
        ),
        pytest.param(
            "metrics.csv",
            b"step,valid_perplexity\n1,2\n3,x\n",
            "line 3: valid_perplexity is 'x', not a number",
            id="not a number",
        ),
    ],
)
def test_missing_and_broken_files_are_named(make_run, file, content, message):
    folder = make_run()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(folder)
    assert str(folder / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_generated_tasks_are_counted_in_examples(make_run):
    header = "step,epoch,examples,seconds,learning_rate,train_loss,valid_loss,valid_accuracy"
    folder = make_run(
        header=header + ",examples_per_s",
        rows=("10,0,640,2.5,0.001,0.9,0.8,0.55,256.0",),
        summary=False,
    )
    row = read(folder).row()
    assert (row["examples"], row["examples_per_s"], row["valid"]) == (640, 256.0, 0.55)
    assert "tokens" not in row


def test_a_summary_of_before_the_run_went_on_does_not_count(make_run):
    folder = make_run()
    summary = {"parameters": 5, "steps": 20, "valid": {"perplexity": 9.0}, "test": {}}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    row = read(folder).row()
    assert (row["finished"], row["valid"], row["test"], row["parameters"]) == (False, 81.5, None, 5)


def test_a_run_that_was_stopped_is_not_finished(make_run):
    folder = make_run()
    summary = {"steps": 40, "finished": False, "test": {"perplexity": 7.0}}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    row = read(folder).row()
    assert (row["finished"], row["test"]) == (False, 7.0)
