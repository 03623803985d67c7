import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from relational_rnn.bench import report
from relational_rnn.cli import main

COMMITTED = sorted((Path(__file__).parents[2] / "results" / "bench").glob("*.json"))

MACHINE = {
    "processor": "A Processor",
    "cores": 2,
    "threads": 2,
    "device": "cpu",
    "load_average": [0.0, 0.1, 0.2],
    "versions": {"python": "3.11", "torch": "2.13"},
    "commit": "0123456789abcdef",
    "dirty": True,
    "time": "2026-01-01T00:00:00+00:00",
}


def timing(name, median):
    return {f"{name}_ms": median, f"{name}_spread_ms": [median * 0.9, median * 1.1]}


SPEED = {
    "machine": MACHINE,
    "rows": [
        {
            "row": "rmc fused bfloat16",
            **timing("core_forward", 1.5),
            **timing("core_step", 512.0),
            **timing("core_floor", 400.0),
            **timing("train_step", 2000.0),
            "core_step_over_floor": 1.28,
            "tokens_per_s": 3200.0,
            "peak_mb": 527.0,
        },
        {
            "row": "plain model",
            "core_step_ms": None,
            **timing("train_step", 6000.0),
            "peak_mb": 9.0,
        },
        {"row": "lstm", "error": "RowError: no [memory] | left"},
    ],
    "ratios": [{"ratio": "a / b", "value": 1.25, "target": "≤ 1.35", "met": True}],
}
GROWTH = {
    "machine": MACHINE,
    "grow": "slots",
    "rows": [
        {"row": "rmc", "slots": 1, **timing("core_step", 10.0), **timing("train_step", 20.0)},
        {"row": "rmc", "slots": 4, **timing("core_step", 30.0), **timing("train_step", 50.0)},
        {"row": "rmc", "slots": 8, "error": "too large"},
    ],
    "ratios": [],
}
PROFILE = {
    "machine": MACHINE,
    "rows": [
        {"row": row, "part": part, "ms": 5.0, "spread_ms": [4.0, 6.0], "share": 0.5}
        for row in ("rmc", "lstm")
        for part in ("embedding", "core forward")
    ],
}
MEMORY = {
    "machine": MACHINE,
    "row": "rmc",
    "rows": [{"step": 50, "resident_mb": 300.0}, {"step": 100, "resident_mb": 301.0}],
    "growth_mb": 1.0,
}
SIZES = {
    "kind": "sizes",
    "machine": MACHINE,
    "rows": [
        {
            "row": "4 x 64",
            "steps": 8,
            "batch": 512,
            "threads": 1,
            "multiply_adds": 7,
            **timing("reference", 140.0),
            **timing("fused", 150.0),
            **timing("native", 50.0),
            **timing("lstm", 15.0),
            **timing("floor", 40.0),
            "reference_over_floor": 3.5,
            "fused_over_floor": 3.75,
            "native_over_floor": 1.25,
            "fused_over_native": 3.0,
            "auto": "native",
            "auto_over_fastest": 1.0,
            "cpu_share": 0.987,
        },
        {"row": "4 x 64", "steps": 8, "batch": 512, "threads": 2, "error": "it broke"},
    ],
    "ratios": [],
}
ALL_FAILED = {**SPEED, "rows": [{"row": "lstm", "error": "it broke"}], "ratios": []}
SIZES_FAILED = {**SIZES, "rows": SIZES["rows"][1:]}
GROWTH_FAILED = {**GROWTH, "rows": [{"row": "rmc", "slots": 1, "error": "it broke"}]}
RESULTS = {
    "speed": SPEED,
    "growth": GROWTH,
    "profile": PROFILE,
    "memory": MEMORY,
    "all-failed": ALL_FAILED,
    "growth-failed": GROWTH_FAILED,
    "sizes": SIZES,
    "sizes-failed": SIZES_FAILED,
}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_results_make_the_same_tables(path):
    result = json.loads(path.read_text(encoding="utf-8"))
    written = path.with_suffix(".md").read_text(encoding="utf-8")
    command = re.search(r"^`(rrnn bench[^`]*)`: ", written, re.MULTILINE)[1]
    assert report.as_markdown(result, command) == written
    assert (report.draw(result) is not None) == path.with_suffix(".png").exists()


def test_results_are_of_the_kind_that_they_carry_or_show_by_their_fields():
    assert {path.stem.partition("-")[0]: kind_of(path) for path in COMMITTED} == {
        "speed": "speed",
        "sizes": "sizes",
        "grow": "growth",
        "profile": "profile",
        "memory": "memory",
        "scale": "scale",
        "corpus": "corpus",
        "batches": "batches",
        "busy": "busy",
    }
    assert report.measurement_of({**MEMORY, "kind": "batches"}).kind == "batches"


def kind_of(path):
    return report.measurement_of(json.loads(path.read_text(encoding="utf-8"))).kind


@pytest.mark.parametrize("name", RESULTS)
def test_files(name, tmp_path):
    result = RESULTS[name]
    folder = tmp_path / "deep" / "folder"
    paths = report.save(result, folder, name, command="rrnn bench")
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    assert json.loads(paths[0].read_text(encoding="utf-8")) == result
    text = paths[1].read_text(encoding="utf-8")
    assert "0123456789ab with changes" in text
    assert "`rrnn bench`" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_speed_table(capsys):
    report.show(SPEED, Console(width=160))
    text = capsys.readouterr().out
    assert "512 ±10%" in text
    assert "1.5 ±10%" in text
    assert "1.28" in text
    assert "3,200" in text
    assert "[memory]" in text
    assert "≤ 1.35" in text
    assert "load average before 0.00 0.10 0.20" in text


def test_sizes_table(capsys):
    report.show(SIZES, Console(width=220))
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("4 x 64"))
    assert line.split()[:4] == ["4", "x", "64", "8"]
    assert "50 ±10%" in line
    assert line.split()[-5:] == ["3.00", "1.25", "native", "1.00", "0.99"]


def test_a_narrow_terminal_gets_a_wide_table_in_halves(capsys):
    rows = [{**row, "row": "rmc fused"} for row in SPEED["rows"] if "error" not in row]
    result = {**SPEED, "rows": rows, "ratios": []}
    report.show(result, Console(width=60))
    halves = capsys.readouterr().out
    report.show(result, Console(width=200))
    whole = capsys.readouterr().out
    assert whole.count("rmc fused") == len(rows)
    assert halves.count("rmc fused") == 2 * len(rows)
    assert "…" not in halves
    for cell in ("512 ±10%", "1.28", "3,200"):
        assert halves.count(cell) == whole.count(cell) > 0


def test_markdown_rows_have_the_columns_of_the_header():
    for table in report.tables(SPEED):
        assert {len(line) for line in table.rows} == {len(table.header)}
    assert r"no [memory] \| left" in report.as_markdown(SPEED, "rrnn bench")


def test_command_prints_saves_and_ends_with_json(fake_measure, tmp_path, capsys):
    fake_measure("speed", lambda progress: SPEED)
    output = tmp_path / "out"
    assert main(["bench", "--output", str(output), "--json"]) == 1  # a row has failed
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"kind": "speed", **SPEED}
    assert (output / "speed.md").exists()


def test_command_measures_sizes(fake_measure, tmp_path):
    result = {name: value for name, value in SIZES.items() if name not in ("kind", "machine")}
    fake_measure("sizes", lambda progress: {**result, "rows": SIZES["rows"][:1]})
    assert main(["bench", "--sizes", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "sizes.png").exists()
    assert "`rrnn bench --sizes`: " in (tmp_path / "sizes.md").read_text(encoding="utf-8")
    fake_measure("sizes", lambda progress: result)
    assert main(["bench", "--sizes", "--output", str(tmp_path)]) == 1  # a row has failed


def test_command_grows(fake_measure, tmp_path):
    whole = {**GROWTH, "rows": GROWTH["rows"][:2]}
    fake_measure("growth", lambda what, progress: whole if what == "slots" else None)
    assert main(["bench", "--grow", "slots", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "grow-slots.png").exists()
    assert "`rrnn bench --grow slots`" in (tmp_path / "grow-slots.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grow", "slots", "--profile"], "--grow --profile: only one measurement"),
        (["--sizes", "--batches"], "--sizes --batches: only one measurement"),
        (["--memory-steps", "0"], "--memory-steps: must be at least 1, got 0"),
        (["--grow", "weeds"], "weeds"),
    ],
    ids=["two", "two-flags", "no-steps", "unknown"],
)
def test_mistakes(arguments, message, capsys):
    assert main(["bench", *arguments]) == 2
    streams = capsys.readouterr()
    assert message in streams.err
    assert len(streams.err.splitlines()) == 1
