"""Tables of the README from results."""

import json
from pathlib import Path

import pytest

from relational_rnn.errors import UserError
from relational_rnn.report.readme_tables import BLOCKS, CAPTIONS, MISSING, fill, main

METRICS = "step,tokens,seconds,train_loss,valid_{0}\n326,2086400,90.5,6.1,{1}\n"


def block(name, content="old\n"):
    return f"before\n<!-- results: {name} -->\n{content}<!-- end -->\nafter\n"


def make_run(folder, *, measure, valid, test, **config):
    folder.mkdir(parents=True)
    lines = "".join(f"{key}: {value}\n" for key, value in config.items())
    (folder / "config.yaml").write_text(lines, encoding="utf-8")
    (folder / "metrics.csv").write_text(METRICS.format(measure, valid), encoding="utf-8")
    summary = {"parameters": 10_712_345, "valid": {measure: valid}, "test": test}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


@pytest.mark.parametrize("name", list(BLOCKS))
def test_without_results_a_block_says_so(tmp_path, name):
    assert fill(block(name), tmp_path, base=tmp_path) == block(name, MISSING)


def test_language_models_best_first(tmp_path):
    for name, valid, perplexity in (("lstm", 400.0, 380.25), ("rmc", 390.0, 370.125)):
        make_run(
            tmp_path / f"wikitext2-{name}",
            measure="perplexity",
            valid=valid,
            test={"perplexity": perplexity},
            task="language-modeling",
            model=name,
        )
    text = fill(block("wikitext2"), tmp_path, base=tmp_path)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| wiki")]
    assert [row[1:4] for row in rows] == [
        ["rmc", "10.71 M", "326"],
        ["lstm", "10.71 M", "326"],
    ]
    assert [row[-2:] for row in rows] == [["390.00", "370.12 |"], ["400.00", "380.25 |"]]
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert fill(text, tmp_path, base=tmp_path) == text


def test_evaluation_methods_with_what_was_tuned(tmp_path):
    folder = tmp_path / "wikitext2-rmc"
    folder.mkdir()
    found = {
        "split": "test",
        "loss": 4.6,
        "perplexity": 99.5,
        "parameters": 7,
        "cache": {"loss": 4.5, "perplexity": 90.25, "theta": 0.3, "lambda": 0.1, "window": 2000},
    }
    (folder / "methods.json").write_text(json.dumps(found), encoding="utf-8")
    rows = fill(block("methods"), tmp_path, base=tmp_path).splitlines()
    assert rows[4:6] == [
        "| wikitext2-rmc | plain | 99.50 |  |",
        "| wikitext2-rmc | cache | 90.25 | theta 0.3, lambda 0.1, window 2000 |",
    ]


def test_table_of_a_sweep(tmp_path):
    folder = tmp_path / "sweeps" / "wikitext2-published"
    folder.mkdir(parents=True)
    (folder / "table.md").write_text("# wikitext2-published\n\n| a | b |\n", encoding="utf-8")
    text = fill(block("published-rows"), tmp_path, base=tmp_path)
    assert text == block("published-rows", "| a | b |\n")


def test_what_each_change_of_a_recipe_does(tmp_path):
    recipe = {"seed": 1, "clip": 0.5, "betas": [0.9, 0.99]}
    trials = [
        trial(2, 1.0, 90.0, **recipe | {"clip": None, "betas": [0.9, 0.999]}),
        trial(1, 2.0, 99.0, **recipe | {"seed": 2}),
        trial(0, 3.0, 101.0, **recipe),
        trial(3, None, None, **recipe | {"clip": 1.0}),
    ]
    folder = tmp_path / "sweeps" / "wikitext2-ablation"
    folder.mkdir(parents=True)
    (folder / "table.json").write_text(json.dumps({"trials": trials}), encoding="utf-8")
    assert fill(block("ablation"), tmp_path, base=tmp_path).splitlines()[4:-2] == [
        "| clip null, betas [0.9, 0.999] | 2.50 M | 190.00 | 90.00 | -10.0% |",
        "| seed 2 | 2.50 M | 199.00 | 99.00 | -1.0% |",
        "| the recipe | 2.50 M | 201.00 | 101.00 | +1.0% |",
    ]


def trial(number, rank, test, **parameters):
    return {
        "trial": number,
        "rank": rank,
        "parameters": parameters,
        "valid_perplexity": None if test is None else test + 100,
        "test_perplexity": test,
        "weights": 2_500_000,
    }


def test_tasks(tmp_path):
    make_run(
        tmp_path / "tasks" / "deeper" / "copy-1",
        measure="accuracy",
        valid=0.9,
        test={"accuracy": 0.95125, "answer_accuracy": 0.5},
        task="memorization",
        category="copy",
        length=10,
        model="rmc",
        seed=3,
    )
    others = {
        "sum-1": {"task": "programs", "category": "addition", "length": 5, "nesting": 2},
        "far-1": {"task": "nth-farthest", "objects": 8, "features": 16},
    }
    for name, what in others.items():
        config = {**what, "model": "rmc", "seed": 1}
        test = {"accuracy": 0.5, "answer_accuracy": 0.5}
        make_run(tmp_path / "tasks" / name, measure="accuracy", valid=0.9, test=test, **config)
    text = fill(block("tasks"), tmp_path, base=tmp_path)
    assert (
        "| copy-1 | copy, length 10 | rmc | 3 | 10,712,345 | 326 | 1.5 min | – | 95.12% | 50.00% |"
        in text
    )
    assert "| sum-1 | addition, length 5, nesting 2 | " in text
    assert "| far-1 | Nth farthest, 8 objects, 16 features | " in text


@pytest.mark.parametrize(
    ("name", "suite", "whole"),
    [("memory-quick", "memory-quick", True), ("memory-suite", "memory", False)],
)
def test_a_comparison_links_to_its_runs_from_the_page(tmp_path, name, suite, whole):
    folder, docs = tmp_path / "results" / "compare" / suite, tmp_path / "docs"
    folder.mkdir(parents=True)
    docs.mkdir()
    all_tasks = "| parity | [90%](parity-rmc-1/summary.json) |"
    one_task = "| rmc | [91%](parity-rmc-2/summary.json) |"
    times = "| parity | [7.0 s](parity-rmc-2/summary.json) |"
    head = f"# {suite}\n\nA note.\n\n## Test accuracy\n\n{all_tasks}\n\n## CPU time\n\n{times}"
    table = f"{head}\n\n## parity\n\n{one_task}\n"
    (folder / "table.md").write_text(table, encoding="utf-8")
    (folder / "accuracy.png").write_bytes(b"")
    machine = {"processor": "P", "threads": 1, "device": "cpu"}
    origins = [{"commit": "a" * 40, "versions": {"torch": "2"}, "machine": machine}]
    (folder / "table.json").write_text(json.dumps({"origins": origins}), encoding="utf-8")
    text = fill(block(name), tmp_path / "results", base=docs)
    link = f"../results/compare/{suite}"
    assert (
        f"A note.\n\n### Test accuracy\n\n| parity | [90%]({link}/parity-rmc-1/summary.json) |"
        in text
    )
    assert f"### CPU time\n\n| parity | [7.0 s]({link}/parity-rmc-2/summary.json) |" in text
    table = f"\n\n### parity\n\n| rmc | [91%]({link}/parity-rmc-2/summary.json) |"
    assert (table in text, f"({link}/table.json)" in text) == (whole, not whole)
    assert f"![accuracy]({link}/accuracy.png)" in text
    assert "<sub>P, 1 thread, device cpu, torch 2, commit aaaaaaaaaaaa.</sub>" in text


def test_what_a_command_printed_and_pictures_from_the_page(tmp_path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    for folder in (results / "demo", results / "bench", docs):
        folder.mkdir(parents=True)
    (results / "demo" / "demo.txt").write_text("1 of 2\n\ndone \n", encoding="utf-8")
    (results / "demo" / "test.txt").write_text("a\nb\nc\nd\n5 passed\n", encoding="utf-8")
    (results / "bench" / "speed.md").write_text("| row |\n| :-- |\n", encoding="utf-8")
    (results / "bench" / "speed.png").write_bytes(b"")
    content = block("demo") + block("test") + block("speed")
    text = fill(content, results, base=docs)
    assert "```text\n1 of 2\n\ndone\n```\n" in text
    assert "```text\n...\nc\nd\n5 passed\n```\n" in text
    assert "| row |\n| :-- |\n\n![speed](../results/bench/speed.png)\n" in text
    assert f"speed.png)\n\n*{CAPTIONS['bench/speed.png']}*\n" in text


def test_core_sizes_have_the_most_work_on_the_most_threads(tmp_path):
    def row(core, threads, batch, native, **found):
        shape = {"row": core, "threads": threads, "steps": 4, "batch": batch}
        times = {"reference_ms": 250.0, "fused_ms": 30.0, "floor_ms": 6.25, "lstm_ms": 5.0}
        native = {} if native is None else {"native_ms": native}
        return {**shape, "multiply_adds": 10 * batch, **times, **native, **found}

    rows = [
        row("1 x 128", 2, 8, None),
        row("4 x 64", 1, 512, 20.0),
        row("4 x 64", 2, 256, 11.04),
        row("4 x 64", 2, 1, 0.16),
        {"row": "4 x 64", "threads": 2, "error": "it broke"},
        row("1 x 31", 2, 1, 1.0),
    ]
    (tmp_path / "bench").mkdir()
    result = {"machine": {"processor": "CPU"}, "rows": rows}
    (tmp_path / "bench" / "sizes.json").write_text(json.dumps(result), encoding="utf-8")
    lines = fill(block("core-sizes"), tmp_path, base=tmp_path).splitlines()
    assert lines[4:6] == [
        "| 4 x 64 | 4 x 256 | 250 | 30.0 | 11.0 | 6.2 | 5.0 |",
        "| 1 x 128 | 4 x 8 | 250 | 30.0 | – | 6.2 | 5.0 |",
    ]
    assert "CPU, 2 threads." in lines[7]


def test_best_results_with_published_figures_and_links_from_the_page(tmp_path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    make_run(
        results / "wikitext2-rmc",
        measure="perplexity",
        valid=90.0,
        test={"perplexity": 88.5},
        task="language-modeling",
        model="rmc",
    )
    docs.mkdir()
    for base, link in ((tmp_path, "docs/wikitext2.md"), (docs, "wikitext2.md")):
        text = fill(block("best"), results, base=base)
        assert "lower is better) | 88.50 | – | 107.21 (a) | 105.56 (a), 80.67 (b) |" in text
        assert f"[wikitext2.md]({link})" in text
        assert "<sub>(a) [relational-rnn-pytorch](https://github.com/L0SG/" in text


def test_every_caption_belongs_to_a_picture():
    results = Path(__file__).parents[2] / "results"
    assert [name for name in CAPTIONS if not (results / name).is_file()] == []


def test_unknown_block(tmp_path):
    with pytest.raises(UserError, match="speeed"):
        fill(block("speeed"), tmp_path, base=tmp_path)


def test_command_writes_what_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "README.md"
    page.write_text(block("demo"), encoding="utf-8")
    assert main(["README.md"]) == 0
    assert page.read_text(encoding="utf-8") == block("demo", MISSING)
    assert capsys.readouterr().out == "README.md: filled\n"
    assert main(["README.md"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["missing.md"]) == 2


def test_drills_of_the_long_round(tmp_path):
    row = {
        "what": "damaged files",
        "tries": 1200,
        "failures": 0,
        "outcomes": {"refused": 1190, "named": 10},
        "figures": {"MB": 317.25},
    }
    machine = {"processor": "CPU", "commit": "0123456789abcdef", "versions": {"torch": "2.9"}}
    found = {"drill": "damage", "seconds": 90.0, "seed": 1, "machine": machine, "rows": [row]}
    (tmp_path / "drills").mkdir()
    for kind in ("short", "long"):
        path = tmp_path / "drills" / f"damage-{kind}.json"
        path.write_text(json.dumps(found | {"seed": len(kind)}), encoding="utf-8")
    text = fill(block("drills"), tmp_path, base=tmp_path)
    assert "| damaged files | 1,190 refused, 10 named, MB 317.2 | 1,200 | 0 |" in text
    assert "<sub>damage: 1.5 min, seed 4, CPU, torch 2.9, commit 0123456789ab.</sub>" in text
    assert text.count("damaged files") == 1
