"""The results of a comparison: medians that are figures of a run, times, and where they link to."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from relational_rnn.compare.page import as_table, note, write_comparison
from relational_rnn.compare.picture import draw
from relational_rnn.compare.queue import Queue
from relational_rnn.compare.results import collect, origins
from relational_rnn.errors import UserError


@pytest.fixture
def written(make_suite, run_suite):
    """The rows of a comparison, and its page's files."""
    queue, _ = run_suite(make_suite())
    rows = collect(queue)
    return queue, rows, write_comparison(queue.plan, rows, queue.folder, origins(queue))


def test_a_row_by_hand(written):
    _, (rmc, lstm), _ = written
    assert (rmc.task, rmc.core, rmc.learning_rate, rmc.weights) == ("parity", "rmc", 0.01, 6300)
    assert lstm.core == "lstm"
    # The test accuracies are 0.66, 0.67 and 0.68, the CPU times 4, 5 and 6 seconds.
    assert rmc.accuracy[:3] == pytest.approx((0.67, 0.66, 0.68))
    assert rmc.accuracy.run == "parity-rmc-0.01-2"
    assert rmc.cpu_seconds == (5.0, 4.0, 6.0, "parity-rmc-0.01-2")
    # 0.72 is reached by the second validation of seeds 2 and 3: 0.72 and 0.73.
    assert rmc.reached == 2
    assert rmc.cpu_seconds_to_threshold.value == 6.0
    assert rmc.cpu_seconds_to_threshold.lowest == 5.0
    assert rmc.cpu_seconds_to_threshold.highest == float("inf")
    assert [(label, found[:3]) for label, found in rmc.by_difficulty] == [
        ({"length": 8}, pytest.approx((0.72, 0.71, 0.73))),
        ({"length": 16}, (0.5, 0.5, 0.5)),
    ]
    assert rmc.runs == {seed: f"parity-rmc-0.01-{seed}" for seed in (1, 2, 3)}
    assert (rmc.missing, rmc.errors) == (0, {})


def test_every_figure_links_to_its_run(written):
    queue, _, paths = written
    page = paths["page"].read_text(encoding="utf-8")
    table = paths["table"].read_text(encoding="utf-8")
    accuracy = "[67.0% (66.0% to 68.0%)](parity-rmc-0.01-2/summary.json)"
    assert f"| parity | {accuracy} | [" in table
    assert f"| rmc | 6,300 | 0.01 | {accuracy}" in table
    assert "[6.0 s (5.0 s to –); 2 of 3](parity-rmc-0.01-3/summary.json)" in table
    assert "| core | length 8 | length 16 |" in table
    assert "## CPU time of training\n\n| task | rmc | lstm |" in table
    assert "| parity | [5.0 s](parity-rmc-0.01-2/summary.json) | [5.0 s](parity-lstm" in table
    links = set(re.findall(r'<a href="([^"]*)"', page)) | set(re.findall(r"\]\(([^)]*)\)", table))
    assert len(links) >= 4
    assert all((queue.folder / link).is_file() for link in links)
    assert "&lt;P&gt;" in page
    assert "commit 000000000000." in page
    ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert paths["picture"].read_bytes().startswith(b"\x89PNG")


def test_names_with_characters_that_mean_something_in_markdown(make_suite, run_suite):
    task = {"base": "state-tracking", "fields": {"length": 16, "train_length": 8}}
    suite = make_suite(tasks={"_a_ |b] c": task}, seeds=[1], learning_rates=[0.01])
    queue, _ = run_suite(suite)
    rows = collect(queue)
    table = write_comparison(suite, rows, queue.folder, origins(queue))["table"].read_text("utf-8")
    accuracy = "[66.0%](_a_%20%7Cb%5D%20c-rmc-0.01-1/summary.json)"
    assert f"\n| \\_a\\_ \\|b\\] c | {accuracy} | " in table
    assert "## \\_a\\_ \\|b\\] c\n" in table


def test_one_run_has_no_median(make_suite):
    assert "A figure is the median of 3 seeds; the lowest" in note(make_suite(), linked=False)
    one = note(make_suite(seeds=[1], learning_rates=[0.01]))
    assert "The learning rate is 0.01. A figure is of one seed and links to its run. CPU" in one


def test_the_data_has_what_the_page_shows(written):
    _, _, paths = written
    data = json.loads(paths["data"].read_text(encoding="utf-8"))
    assert (data["suite"], data["seeds"]) == ("tiny", [1, 2, 3])
    assert [row["core"] for row in data["rows"]] == ["rmc", "lstm"]
    row = data["rows"][0]
    assert row["accuracy"]["run"] == "parity-rmc-0.01-2"
    assert row["cpu_seconds_to_threshold"]["highest"] is None
    assert row["by_difficulty"][1] == {
        "length": 16,
        "accuracy": {"value": 0.5, "lowest": 0.5, "highest": 0.5, "run": "parity-rmc-0.01-1"},
    }
    assert data["origins"] == [
        {"commit": "0" * 40, "versions": {"torch": "2"}, "machine": {"processor": "<P>"}}
    ]


def test_the_terminal(written):
    queue, rows, _ = written
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(as_table(queue.plan, rows))
    text = console.export_text()
    assert "tiny: 1 task" in text
    assert re.search(r"parity +rmc +6,300 +0.01 +67.0% \(66.0% to 68.0%\)", text)


def test_before_anything_has_ended(make_suite):
    queue = Queue(make_suite(), Path("runs/tiny"))
    rows = collect(queue)
    assert [row.missing for row in rows] == [4, 4]  # two rates, then the better with two seeds
    paths = write_comparison(queue.plan, rows, queue.folder, origins(queue))
    assert "| rmc | – | – | – | – | – | 4 missing |" in paths["table"].read_text("utf-8")
    assert "8 runs have not ended yet" in paths["page"].read_text("utf-8")


def test_runs_with_other_seeds_are_missing_until_they_end(make_suite, run_suite):
    queue, _ = run_suite(make_suite())
    assert [row.missing for row in collect(queue)] == [0, 0]
    rate = queue.best_rate("parity", "lstm")
    (queue.folder / f"parity-lstm-{rate:g}-3" / "summary.json").unlink()
    assert [row.missing for row in collect(queue)] == [0, 1]


def test_a_run_that_failed_is_named(make_suite, run_suite):
    queue, _ = run_suite(make_suite(cores={"lstm": {"hidden_size": 20}, "gru": {}}, seeds=[1]))
    rows = collect(queue)
    paths = write_comparison(queue.plan, rows, queue.folder, origins(queue))
    assert "0, 2 failed" in paths["table"].read_text("utf-8")
    assert "parity-gru-0.01-1 failed: no such core here" in paths["page"].read_text("utf-8")


def test_the_picture_has_one_sort_of_question(written):
    _, (rmc, lstm), _ = written
    figure = rmc.by_difficulty[0][1]
    kinds = [*rmc.by_difficulty, ({"place": 0}, figure)]
    (axes,) = draw([replace(rmc, by_difficulty=kinds), lstm]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16"]
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [2, 2]


def test_runs_with_other_kinds_of_questions(make_suite, run_suite):
    queue, _ = run_suite(make_suite(seeds=[1, 2]))
    path = queue.run(queue.chosen("parity", "rmc")[1]).summary_path
    summary = json.loads(path.read_text("utf-8"))
    summary["by_difficulty"].pop()
    path.write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(UserError, match=r"^parity-rmc-0.01-2: broken: its by_difficulty is not"):
        collect(queue)
