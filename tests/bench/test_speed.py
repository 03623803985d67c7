import json

import pytest

from relational_rnn.bench import speed
from relational_rnn.bench.cases import CPU_VARIANTS, VARIANTS
from relational_rnn.bench.timing import Stop

TWICE = Stop(seconds=0, least=2, most=2)


def test_table(tiny):
    cases = [tiny("rmc fused bfloat16"), tiny("plain model"), tiny("lstm", hidden_size=0)]
    told = []
    result = speed.MEASUREMENT.run(
        cases=cases, core_stop=TWICE, train_stop=TWICE, progress=told.append
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["kind"] == "speed"
    rmc, plain, broken = result["rows"]
    assert rmc["row"] == "rmc fused bfloat16"
    for name in ("core_forward_ms", "core_step_ms", "core_floor_ms", "train_step_ms"):
        low, high = rmc[name.removesuffix("ms") + "spread_ms"]
        assert 0 < low <= rmc[name] <= high
        assert rmc[name.removesuffix("ms") + "samples"] == 2
        assert rmc[name.removesuffix("ms") + "cpu_ms"] > 0
    assert rmc["tokens_per_s"] == pytest.approx(12 / rmc["train_step_ms"] * 1e3)
    assert rmc["core_step_over_floor"] == rmc["core_step_ms"] / rmc["core_floor_ms"]
    assert rmc["peak_mb"] >= 0
    assert plain["core_step_ms"] is None
    assert plain["train_step_ms"] > 0
    assert set(broken) == {"row", "error"}
    assert "hidden_size" in broken["error"]
    assert [one["ratio"] for one in result["ratios"]] == [
        "core, bfloat16: fused / its floor",
        "training step: plain model / rmc bfloat16",
        "peak memory: rmc bfloat16 / plain model",
    ]
    assert {"processor", "cores", "threads", "versions", "commit", "dirty", "load_average"} <= set(
        result["machine"]
    )
    assert told[:3] == ["rmc fused bfloat16: check", "plain model: check", "lstm: check"]


def test_the_lstm_as_a_loop_is_timed_as_a_core(tiny):
    told = []
    result = speed.MEASUREMENT.run(
        cases=[tiny("lstm-loop")], core_stop=TWICE, train_stop=TWICE, progress=told.append
    )
    [row] = result["rows"]
    assert row["core_step_ms"] > 0
    assert row["train_step_ms"] is row["tokens_per_s"] is row["peak_mb"] is None
    assert {text.partition(": ")[2] for text in told} == {
        "check",
        "core forward",
        "core step",
        "core floor",
    }
    assert speed.draw(result).axes


@pytest.mark.slow
def test_the_same_products_are_measured_once(tiny):
    names = ("lstm", "lstm-loop", "rmc reference", "rmc fused float32")
    told = []
    cases = [tiny(name) for name in names]
    result = speed.MEASUREMENT.run(
        cases=cases, core_stop=TWICE, train_stop=TWICE, progress=told.append
    )
    floors = [row["core_floor_ms"] for row in result["rows"]]
    assert floors[0] == floors[1] != floors[2] == floors[3]
    assert {text for text in told if text.endswith("core floor")} == {
        "lstm: core floor",
        "rmc reference: core floor",
    }
    for row in result["rows"]:
        assert row["core_step_over_floor"] == row["core_step_ms"] / row["core_floor_ms"]


def test_a_row_that_fails_takes_no_floor_from_the_others(tiny):
    cases = [tiny("lstm", hidden_size=0), tiny("lstm-loop")]
    broken, whole = speed.MEASUREMENT.run(cases=cases, core_stop=TWICE, train_stop=TWICE)["rows"]
    assert set(broken) == {"row", "error"}
    assert whole["core_step_over_floor"] > 0


def test_every_variant_is_measured_that_the_machine_supports(monkeypatch):
    monkeypatch.setattr(speed.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(speed, "multiplies_bfloat16", lambda device: False)
    monkeypatch.setattr(speed.build, "why_not", lambda: None)
    monkeypatch.setattr(speed.build, "multiplies_bfloat16", lambda: True)
    assert [case.name for case in speed.published_cases()] == [
        variant.name for variant in CPU_VARIANTS if variant.dtype == "float32"
    ]
    monkeypatch.setattr(speed, "multiplies_bfloat16", lambda device: True)
    assert [case.name for case in speed.published_cases()] == [
        variant.name for variant in CPU_VARIANTS
    ]
    monkeypatch.setattr(speed.torch.cuda, "is_available", lambda: True)
    assert [case.name for case in speed.published_cases()] == list(VARIANTS)
    monkeypatch.setattr(speed.build, "multiplies_bfloat16", lambda: False)
    assert [case.name for case in speed.published_cases()] == [
        name for name in VARIANTS if name != "rmc native bfloat16"
    ]
    monkeypatch.setattr(speed.build, "why_not", lambda: "no C++ compiler was found")
    assert [case.name for case in speed.published_cases()] == [
        name for name in VARIANTS if not name.startswith("rmc native")
    ]


def row(name, **figures):
    return {"row": name, **figures}


def test_ratios():
    rows = [
        row("rmc reference", core_step_ms=2500.0),
        row("rmc fused bfloat16", core_step_ms=500.0, core_floor_ms=400.0, train_step_ms=2000.0),
        row("lstm bfloat16", train_step_ms=1600.0),
        row("rmc fused float32", error="failed"),
    ]
    found = {one["ratio"]: one for one in speed.ratios(rows)}
    assert found == {
        "core, bfloat16: fused / its floor": {
            "ratio": "core, bfloat16: fused / its floor",
            "value": 1.25,
            "target": "≤ 1.35",
            "met": True,
        },
        "core: reference float32 / fused bfloat16": {
            "ratio": "core: reference float32 / fused bfloat16",
            "value": 5.0,
            "target": "≥ 4",
            "met": True,
        },
        "training step, bfloat16: rmc / lstm": {
            "ratio": "training step, bfloat16: rmc / lstm",
            "value": 1.25,
            "target": "≤ 1.1",
            "met": False,
        },
    }


def test_ratios_of_the_native_core():
    rows = [
        row("rmc fused float32", core_step_ms=1200.0),
        row("rmc native float32", core_step_ms=900.0, core_floor_ms=1000.0),
        row("rmc fused bfloat16", core_step_ms=500.0),
        row("rmc native bfloat16", core_step_ms=400.0),
    ]
    found = [(one["ratio"], one["value"], one["met"]) for one in speed.ratios(rows)]
    assert found == [
        ("core, float32: native / its floor", 0.9, True),
        ("core, float32: fused / native", 1.333, True),
        ("core, bfloat16: fused / native", 1.25, False),
    ]


def test_results_without_cpu_times_have_no_columns_for_them():
    without = {"rows": [row("lstm", train_step_ms=2.0, train_step_spread_ms=[1.0, 3.0])]}
    with_times = {"rows": [{**without["rows"][0], "train_step_cpu_ms": 3.0}]}
    assert "step CPU, ms" not in speed.tables(without)[0].header
    assert "CPU" not in speed.note(without)
    table = speed.tables(with_times)[0]
    assert table.rows[0][table.header.index("step CPU, ms")] == "3"
    assert "CPU" in speed.note(with_times)
