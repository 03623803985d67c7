import os
from pathlib import Path

import pytest


def test_data(rrnn, text):
    answer = rrnn("data", text, "--json")
    assert answer.code == 0
    # The words: the cat sat on mat a dog <unk> <eos>. A round: 6 + 5 + 0 + 3, and 4 times <eos>.
    assert answer.json == {"vocabulary": 9, "tokens": {"train": 360, "valid": 72, "test": 90}}
    assert "360 tokens" in answer.out


def test_preparing_shows_progress_on_stderr(rrnn, text, monkeypatch):
    monkeypatch.setattr("relational_rnn.progress.SHOW_AFTER", 0.0)
    monkeypatch.setattr("relational_rnn.progress.LINE_EVERY", 0.0)
    first = rrnn("data", text, "--json")
    size = {split: (text / f"{split}.txt").stat().st_size for split in ("train", "valid", "test")}
    lines = first.err.splitlines()
    assert lines[0].startswith(f"text: counting words: 100% · {size['train']:,} of ")
    assert lines[-1].startswith(f"text: encoding: 100% · {sum(size.values()):,} of ")
    again = rrnn("data", text, "--json")
    assert (again.out, again.err) == (first.out, "")


def test_data_in_a_folder_whose_name_is_not_utf8(rrnn, text, monkeypatch):
    monkeypatch.setattr("relational_rnn.progress.SHOW_AFTER", 0.0)
    try:
        folder = text.rename(text.with_name(os.fsdecode(b"caf\xe9")))
    except OSError:
        pytest.skip("this file system allows no such name")
    for _ in range(2):
        answer = rrnn("data", folder)
        assert answer.code == 0 or (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_data_that_is_missing(rrnn):
    answer = rrnn("data", "nowhere")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_report(rrnn, make_run):
    make_run("first")
    make_run("second", model="lstm")
    answer = rrnn("report", "first", "second", "--output", "out", "--json")
    assert answer.code == 0
    assert [row["run"] for row in answer.json["runs"]] == ["first", "second"]
    assert [row["model"] for row in answer.json["runs"]] == ["rmc", "lstm"]
    assert answer.json["runs"][0]["test"] == 7.5
    for name in ("picture", "page"):
        assert Path(answer.json[name]).is_file()
    assert Path(answer.json["page"]).parent == Path("out")


@pytest.mark.parametrize("columns", [30, 56, 66, 80])
def test_report_in_a_narrow_terminal(rrnn, make_run, monkeypatch, columns):
    for name in ("first", "a-run-with-a-long-name"):
        make_run(name)
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = rrnn("report", "first", "a-run-with-a-long-name").out
    for text in ("first", "a-run-with-a-long-name", "1,000", "350", "1.5 s", "8.00", "7.50"):
        assert text in printed


@pytest.mark.parametrize("file", ["metrics.csv", "config.yaml", "summary.json"])
def test_report_on_broken_files(rrnn, make_run, file):
    run = make_run()
    (run.folder / file).write_bytes(b"\xff{")
    answer = rrnn("report", "mine")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert file in answer.err
    assert not Path("report").exists()
