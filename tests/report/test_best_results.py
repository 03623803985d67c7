"""The best result of each core, next to published figures."""

import json

import pytest

from relational_rnn.report.best_results import PUBLISHED, SOURCES, best_results

TASK = {"task": "nth-farthest", "objects": 8, "features": 16}
SMALL = {"task": "programs", "category": "addition", "length": 1, "nesting": 1}


def make_run(folder, measure, test, valid=None, **config):
    folder.mkdir(parents=True)
    lines = "".join(f"{key}: {value}\n" for key, value in config.items())
    (folder / "config.yaml").write_text(lines, encoding="utf-8")
    (folder / "metrics.csv").write_text(f"step,valid_{measure}\n1,0.5\n", encoding="utf-8")
    if test is not None:
        scores = {"valid": test if valid is None else valid, "test": test}
        summary = {split: {measure: score} for split, score in scores.items()}
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def labels(results):
    return {row.label: (row.rmc, row.lstm) for row in best_results(results)[0]}


def test_without_results_there_are_no_rows(tmp_path):
    assert best_results(tmp_path)[0] == []


def test_lowest_perplexity_of_each_core(tmp_path):
    for name, model, test in (("a", "rmc", 90.0), ("b", "rmc", 81.5), ("c", "lstm", 99.0)):
        make_run(
            tmp_path / f"wikitext2-{name}",
            "perplexity",
            test,
            task="language-modeling",
            model=model,
        )
    make_run(
        tmp_path / "wikitext2-d", "perplexity", None, task="language-modeling", model="lstm"
    )  # still training
    assert labels(tmp_path) == {"WikiText-2: test perplexity (lower is better)": ("81.50", "99.00")}


def test_highest_accuracy_of_tasks_that_are_published_or_compare_cores(tmp_path):
    tasks = tmp_path / "tasks"
    for seed, accuracy in enumerate((0.25, 0.75, 0.5)):
        make_run(tasks / f"far-{seed}", "accuracy", accuracy, **TASK, model="rmc")
    make_run(tasks / "sum", "accuracy", 1.0, **SMALL, model="rmc")
    assert labels(tmp_path) == {"Nth farthest, 8 objects, 16 features: accuracy": ("75.00%", "–")}
    make_run(tasks / "sum-lstm", "accuracy", 0.5, **SMALL, model="lstm")
    assert labels(tmp_path)["addition, length 1, nesting 1: accuracy"] == ("100.00%", "50.00%")


@pytest.mark.parametrize("figure", [cell for row in PUBLISHED.values() for cell in row])
def test_every_published_figure_names_its_source(figure):
    for part in figure.split(", "):
        assert part == "–" or part[-3:] in {f"({mark})" for mark in SOURCES}


def test_the_run_is_chosen_by_its_validation(tmp_path):
    tasks = tmp_path / "tasks"
    make_run(tasks / "far-1", "accuracy", 0.75, 0.5, **TASK, model="rmc")
    make_run(tasks / "far-2", "accuracy", 0.25, 0.75, **TASK, model="rmc")
    assert labels(tmp_path) == {"Nth farthest, 8 objects, 16 features: accuracy": ("25.00%", "–")}
    for number, (test, valid) in enumerate(((80.0, 90.0), (85.0, 88.0))):
        folder = tmp_path / f"wikitext2-{number}"
        make_run(folder, "perplexity", test, valid, task="language-modeling", model="rmc")
    assert labels(tmp_path)["WikiText-2: test perplexity (lower is better)"] == ("85.00", "–")
