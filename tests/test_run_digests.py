"""A finished run knows its files: what was damaged, edited or exchanged since is named."""

import json
import shutil

import pytest

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.run_digests import FILES, KEY, SUMMARY, changed_files, with_digests
from relational_rnn.runs import Run


@pytest.fixture
def run(tmp_path):
    """A finished run with every file, though not of any meaning."""
    run = Run(tmp_path / "run")
    run.save_config(LanguageModelingConfig())
    for name in FILES[1:]:
        (run.folder / name).write_text(f"content of {name}", encoding="utf-8")
    run.save_summary({"steps": 3, "valid": {"perplexity": float("inf")}, "größe": 0.1})
    return run


def test_nothing_has_changed(run):
    assert run.changed_files() == []
    assert set(run.summary[KEY]) == {SUMMARY, *FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file(run, name):
    path = run.folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert run.changed_files() == [name]


@pytest.mark.parametrize("name", FILES)
def test_a_lost_file_is_left_to_its_reader(run, name):
    (run.folder / name).unlink()
    assert run.changed_files() == []


@pytest.mark.parametrize("change", [{"steps": 4}, {"steps": 3.5}, {"more": None}, {KEY: []}])
def test_a_changed_summary(run, change):
    run.summary_path.write_text(json.dumps(run.summary | change), encoding="utf-8")
    assert run.changed_files() == [SUMMARY]


def test_written_again_in_another_style_it_is_the_same(run):
    run.summary_path.write_text(json.dumps(run.summary, indent=None), encoding="utf-8")
    assert run.changed_files() == []


def test_the_summary_of_another_run(run, tmp_path):
    other = shutil.copytree(run.folder, tmp_path / "other")
    (other / "metrics.csv").write_text("other rows", encoding="utf-8")
    Run(other).save_summary(run.summary)
    shutil.copy(other / SUMMARY, run.summary_path)
    assert run.changed_files() == ["metrics.csv"]


def test_a_run_that_is_trained_further_has_no_digests(run):
    run.forget_digests()
    (run.folder / "metrics.csv").write_text("more rows", encoding="utf-8")
    assert KEY not in run.summary
    assert run.summary["steps"] == 3
    assert run.changed_files() == []


def test_digests_are_replaced_not_included(run):
    again = with_digests(run.summary, run.folder)
    assert again == run.summary
    assert changed_files(again, run.folder) == []
