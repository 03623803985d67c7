"""Runs side by side: table, page and files."""

import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image
from rich.console import Console

from relational_rnn.errors import UserError
from relational_rnn.report.comparison import (
    DIFFERENT_TEXTS,
    as_table,
    best,
    cells,
    differences,
    write_report,
)
from relational_rnn.report.curves import draw
from relational_rnn.report.formatting import duration
from relational_rnn.report.record import labels, read


def test_files(two_runs, tmp_path):
    report = write_report(two_runs, tmp_path / "new" / "report")
    with Image.open(report.picture) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1500
    again = write_report(two_runs, tmp_path / "new" / "report")
    assert again.picture == report.picture
    assert sorted(path.name for path in report.page.parent.iterdir()) == [
        "curves.png",
        "report.html",
    ]


def test_page_stands_alone_and_is_well_formed(two_runs, tmp_path):
    page = write_report(two_runs, tmp_path).page.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page)
    assert "se<co>" not in page
    assert page.count("se&lt;co&gt;&amp;nd") >= 2
    ElementTree.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])
    opened = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance().feed(page)
    assert opened == []


def test_page_shows_results_and_differences(two_runs, tmp_path):
    page = write_report(two_runs, tmp_path).page.read_text(encoding="utf-8")
    assert '<td class="best">80.25</td>' in page
    assert '<td class="best">77.12</td>' in page
    assert "<td>learning_rate</td><td>0.001</td><td>0.004</td>" in page


def test_accuracy(make_run, tmp_path):
    header = "step,seconds,train_loss,valid_accuracy"
    folders = [
        make_run(name, task="nth-farthest", header=header, rows=rows, summary=False)
        for name, rows in {"a": ["1,1,2,0.25", "2,2,1,0.75"], "b": ["1,1,2,0.9"]}.items()
    ]
    report = write_report(folders, tmp_path)
    figure = draw(report.records)
    assert figure.axes[0].get_xlabel() == "steps"
    assert figure.axes[1].get_ylabel() == "accuracy"
    assert best(report.records, "valid") == 1
    assert "higher is better" in report.page.read_text(encoding="utf-8")
    assert cells(report.records)[0][-2:] == ["0.7500", "–"]


def test_table(two_runs):
    records = [read(folder) for folder in two_runs]
    assert cells(records) == [
        ["first", "rmc", "1.23 M", "4,000", "1.5 min", "457", "80.25", "77.12"],
        ["se<co>&nd (unfinished)", "lstm", "–", "2,000", "5.0 s", "400", "95.00", "–"],
    ]
    shown = io.StringIO()
    Console(width=80, file=shown).print(as_table(records))
    assert "80.25  77.12" in shown.getvalue()
    assert "…" not in shown.getvalue()
    assert differences(records) == [
        ("model", ["rmc", "lstm"]),
        ("learning_rate", ["0.001", "0.004"]),
    ]


def test_fields_without_effect_do_not_differ(make_run):
    slots = {"mem_slots": 4, "betas": [0.9, 0.999]}
    runs = {
        "rmc": slots,
        "lstm": {"model": "lstm", "mem_slots": 2, "optimizer": "sgd", "momentum": 0.5},
        "other-lstm": {"model": "lstm", "mem_slots": 3, "optimizer": "sgd", "num_layers": 2},
    }
    rmc, first, second = (read(make_run(name, **fields)) for name, fields in runs.items())
    assert dict(differences([rmc, first])) == {
        "model": ["rmc", "lstm"],
        "mem_slots": ["4", "–"],
        "optimizer": ["adamw", "sgd"],
        "momentum": ["–", "0.5"],
    }
    # A field that a file lacks has its default.
    assert dict(differences([first, second])) == {
        "momentum": ["0.5", "0.0"],
        "num_layers": ["1", "2"],
    }


def test_a_task_of_another_version_has_no_defaults(make_run):
    runs = [read(make_run(name, task="new", mem_slots=n)) for n, name in enumerate("ab")]
    assert differences(runs) == [("mem_slots", ["0", "1"])]


def test_runs_of_one_name_are_told_apart(make_run):
    records = [read(make_run(name)) for name in ("a/same", "b/same", "other")]
    first, second, third = labels(records)
    assert first.endswith("runs/a/same")
    assert second.endswith("runs/b/same")
    assert third == "other"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0.0 s"), (59.9, "59.9 s"), (90, "1.5 min"), (5400, "1.50 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def with_text(folder, digest=None, words=None):
    """Write what a run's text is into its folder."""
    if digest is not None:
        (folder / "text.json").write_text(json.dumps({"data": "x", "sha256": digest}))
    if words is not None:
        (folder / "vocabulary.json").write_text(json.dumps(words))
    return folder


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ({"data": "pydoc"}, {"data": "pydoc"}, False),
        ({"data": "pydoc"}, {"data": "wikitext-2"}, True),
        ({"data": "a", "digest": "1"}, {"data": "b", "digest": "1"}, False),
        ({"data": "a", "digest": "1"}, {"data": "a", "digest": "2"}, True),
        ({"data": "a", "words": ["x"]}, {"data": "b", "words": ["x"]}, False),
        ({"data": "a", "words": ["x"]}, {"data": "a", "words": ["y"]}, True),
        ({"data": "a", "digest": "1", "words": ["x"]}, {"data": "b", "words": ["x"]}, False),
        ({"digest": "1", "words": ["x"]}, {"digest": "2", "words": ["x"]}, True),
    ],
)
def test_perplexities_of_different_texts_are_not_ranked(make_run, tmp_path, first, second, differ):
    folders = [
        with_text(
            make_run(name, data=given.get("data", "")), given.get("digest"), given.get("words")
        )
        for name, given in (("a", first), ("b", second))
    ]
    report = write_report(folders, tmp_path / "report")
    page = report.page.read_text(encoding="utf-8")
    shown = io.StringIO()
    table = as_table(report.records)
    Console(width=200, file=shown).print(table)
    assert (DIFFERENT_TEXTS in page, DIFFERENT_TEXTS in shown.getvalue()) == (differ, differ)
    assert ('class="best"' in page, bool(table.bold)) == (not differ, not differ)


def test_a_broken_text_file_is_reported(make_run):
    folder = make_run("a")
    (folder / "text.json").write_text("[]")
    with pytest.raises(UserError, match=r"text\.json: broken"):
        read(folder)


def test_runs_of_different_tasks_are_refused(make_run, tmp_path):
    folders = [make_run("a"), make_run("b", task="programs")]
    with pytest.raises(UserError, match="its task is programs"):
        write_report(folders, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_output_that_is_a_file(make_run, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="taken: cannot be created"):
        write_report([make_run()], tmp_path / "taken")
