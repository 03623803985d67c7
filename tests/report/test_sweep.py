"""The table and the page of a sweep."""

import json
import math
import re
from xml.etree import ElementTree

import pytest
from rich.console import Console

from relational_rnn.report.outcomes import Axis, Outcome, Outcomes
from relational_rnn.report.sweep import as_table, cells, write_sweep


def outcomes(**changed):
    trials = [
        Outcome(0, "failed", {"learning_rate": 0.1}, error="RuntimeError: a < b"),
        Outcome(1, "finished", {"learning_rate": 0.1, "gate_style": None}, 9.0, 9.5, 10, 1.0, 120),
        Outcome(2, "pruned", {"learning_rate": 0.01, "gate_style": "unit"}, 5.0),
        Outcome(3, "finished", {"learning_rate": 0.01, "gate_style": "unit"}, 6, 7, 3e6, 90, 110),
        Outcome(4, "finished", {"learning_rate": 0.001, "gate_style": "unit"}, 9.0, 8, 5, 4e3, 130),
    ]
    axes = [
        Axis("learning_rate", low=0.001, high=0.1, log=True),
        Axis.of_choices("gate_style", [None, "unit"]),
    ]
    given = {"name": "mine", "measure": "perplexity", "lower_is_better": True, "trials": trials}
    return Outcomes(**(given | {"axes": axes} | changed))


def test_order_and_ranks():
    found = outcomes()
    assert [trial.number for trial in found.trials] == [3, 1, 4, 2, 0]
    assert found.place == {3: 1, 1: 2.5, 4: 2.5}
    assert found.published_place == {3: 1, 1: 2, 4: 3}
    assert found.rho == pytest.approx(1.5 / (1.5 * 2) ** 0.5)


def test_a_higher_accuracy_is_better():
    found = outcomes(measure="accuracy", lower_is_better=False)
    assert [trial.number for trial in found.trials][-2:] == [2, 0]
    assert found.place == {1: 1.5, 4: 1.5, 3: 3}
    assert found.published_place == {4: 1, 1: 2, 3: 3}


def test_places_on_an_axis():
    log, single = outcomes().axes
    assert [log.at(x) for x in (0.001, 0.01, 0.1)] == pytest.approx([0, 0.5, 1])
    assert [label for _, label in log.ticks()][::2] == ["0.001", "0.01", "0.1"]
    assert single.ticks() == [(0, "null"), (1, "unit")]
    assert Axis.of_choices("num_heads", [8, 2, 4]).values == (2, 4, 8)


def test_files(tmp_path):
    paths = write_sweep(outcomes(), tmp_path)
    table = paths["table"].read_text(encoding="utf-8").splitlines()
    assert table[6] == "| 1 | 3 | 0.01 | unit | 3.00 M | 1.5 min | 6.00 | 7.00 | 110.00 | 1 |"
    assert table[-1] == r"Trial 0 failed: RuntimeError: a \< b"
    data = json.loads(paths["data"].read_text(encoding="utf-8"))
    assert [row["trial"] for row in data["trials"]] == [3, 1, 4, 2, 0]
    assert data["trials"][0]["valid_perplexity"] == 6
    assert data["trials"][4]["error"] == "RuntimeError: a < b"


def test_the_page_stands_alone(tmp_path):
    page = write_sweep(outcomes(), tmp_path)["page"].read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    assert "RuntimeError: a &lt; b" in page
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    lines = svg.findall("g[@class='line']")
    # The failed trial has no figure; the best is drawn last, above the others.
    assert [line.get("data-trial") for line in lines] == ["2", "4", "1", "3"]
    assert "learning_rate: 0.01" in lines[-1].find("title").text
    names = [axis.find("text").text for axis in svg.findall("g[@class='axis']")]
    assert names == ["learning rate", "gate style", "valid perplexity"]
    left, top, width, height = map(float, svg.get("viewBox").split())
    for path in svg.iter("path"):
        numbers = list(map(float, re.findall(r"[\d.]+", path.get("d"))))
        assert all(left <= x <= width for x in numbers[::2])
        assert all(top <= y <= height for y in numbers[1::2])


def test_a_window_too_narrow_cuts_no_figure(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Console().print(as_table(outcomes()))
    printed = capsys.readouterr().out
    assert "…" not in printed
    for row in cells(outcomes()):
        assert all(cell in printed for cell in row)


def test_nothing_finished(tmp_path):
    found = outcomes(trials=[Outcome(0, "failed", {}, error="x"), Outcome(1, "running", {})])
    assert (found.rho, found.finished, found.compared) == (None, 0, False)
    page = write_sweep(found, tmp_path)["page"].read_text(encoding="utf-8")
    assert "0 of 2 trials finished" in page
    assert "<svg" not in page


def test_a_figure_without_end(tmp_path):
    trial = Outcome(0, "finished", {"gate_style": "unit"}, math.inf)
    paths = write_sweep(outcomes(trials=[trial]), tmp_path)
    assert json.loads(paths["data"].read_text(encoding="utf-8"))["trials"][0]["rank"] == 1
