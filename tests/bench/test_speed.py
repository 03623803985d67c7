import json

import pytest

from relational_rnn.bench import growth, parts, speed
from relational_rnn.bench.rows import CORES, CPU_ROWS, ROWS
from relational_rnn.bench.subject import Subject
from relational_rnn.bench.targets import speed_ratios
from relational_rnn.bench.timing import Stop
from relational_rnn.bench.worker import RowError, Worker

TWICE = Stop(seconds=0, least=2, most=2)


def test_table(tiny):
    cases = [tiny("rmc fused bfloat16"), tiny("plain model"), tiny("lstm", hidden_size=0)]
    told = []
    result = speed.measure(cases, core_stop=TWICE, train_stop=TWICE, progress=told.append)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    rmc, plain, broken = result["rows"]
    assert rmc["row"] == "rmc fused bfloat16"
    for name in ("core_forward_ms", "core_step_ms", "core_floor_ms", "train_step_ms"):
        low, high = rmc[name.removesuffix("ms") + "spread_ms"]
        assert 0 < low <= rmc[name] <= high
        assert rmc[name.removesuffix("ms") + "samples"] == 2
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


def test_the_same_products_are_measured_once(tiny):
    names = ("lstm", "lstm-loop", "rmc reference", "rmc fused float32")
    told = []
    cases = [tiny(name) for name in names]
    result = speed.measure(cases, core_stop=TWICE, train_stop=TWICE, progress=told.append)
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
    broken, whole = speed.measure(cases, core_stop=TWICE, train_stop=TWICE)["rows"]
    assert set(broken) == {"row", "error"}
    assert whole["core_step_over_floor"] > 0


def test_process_that_dies_is_an_error(tiny):
    with Worker(Subject, tiny("lstm")) as worker:
        worker._process.kill()
        for _ in range(2):
            with pytest.raises(RowError, match="its process ended with code -9"):
                worker.ask("check")


def test_every_row_is_measured_that_the_machine_is_good_at(monkeypatch):
    monkeypatch.setattr(speed.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(speed, "multiplies_bfloat16", lambda device: False)
    assert [case.row for case in speed.cases()] == [
        row.name for row in CPU_ROWS if row.dtype == "float32"
    ]
    monkeypatch.setattr(speed, "multiplies_bfloat16", lambda device: True)
    assert [case.row for case in speed.cases()] == [row.name for row in CPU_ROWS]
    monkeypatch.setattr(speed.torch.cuda, "is_available", lambda: True)
    assert [case.row for case in speed.cases()] == list(ROWS)


def row(name, **figures):
    return {"row": name, **figures}


def test_ratios():
    rows = [
        row("rmc reference", core_step_ms=2500.0),
        row("rmc fused bfloat16", core_step_ms=500.0, core_floor_ms=400.0, train_step_ms=2000.0),
        row("lstm bfloat16", train_step_ms=1600.0),
        row("rmc fused float32", error="failed"),
    ]
    found = {one["ratio"]: one for one in speed_ratios(rows)}
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


@pytest.mark.parametrize("what", growth.GROWTH)
def test_growth_asks_for_what_can_be_built(what):
    for point in growth.GROWTH[what]:
        config = point.case.config(CORES)
        if what == "heads":
            assert config.num_heads * config.head_size == 768
            assert config.num_heads * config.key_size == 256


def test_growth(tiny):
    points = [
        growth.Point("rmc", size, tiny("rmc fused bfloat16", mem_slots=size)) for size in (1, 2)
    ]
    points.append(growth.Point("rmc", 0, tiny("rmc fused bfloat16", mem_slots=0)))
    result = growth.measure("slots", points, stop=TWICE)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [one["slots"] for one in result["rows"]] == [1, 2, 0]
    assert all(one["train_step_ms"] > 0 and one["core_step_ms"] > 0 for one in result["rows"][:2])
    assert all(one["peak_mb"] >= 0 for one in result["rows"][:2])
    assert set(result["rows"][2]) == {"row", "slots", "error"}


def test_growth_of_the_vocabulary_is_that_of_the_whole_step(tiny):
    case = tiny("rmc fused bfloat16", head="adaptive")
    result = growth.measure("vocabulary", [growth.Point("adaptive softmax", 30, case)], stop=TWICE)
    assert result["rows"][0]["train_step_ms"] > 0
    assert "core_step_ms" not in result["rows"][0]


@pytest.mark.parametrize(
    ("what", "figures", "expected"),
    [
        (
            "slots",
            [(growth.RMC, 1, 10.0), (growth.RMC, 4, 20.0)],
            [(2.0, True), (2.0, True)],
        ),
        (
            "time",
            [(growth.RMC, 100, 10.0), (growth.RMC, 400, 46.0)],
            [(0.15, False), (0.15, False)],
        ),
        (
            "vocabulary",
            [("full softmax", 33_278, 10.0), ("adaptive softmax", 267_735, 21.0)],
            [(2.1, False)],
        ),
        ("heads", [(growth.RMC, 1, 10.0)], []),
    ],
    ids=["slots", "time", "vocabulary", "heads"],
)
def test_growth_ratios(what, figures, expected):
    rows = [
        {"row": name, what: size, "core_step_ms": value, "train_step_ms": value}
        for name, size, value in figures
    ]
    assert [(one["value"], one["met"]) for one in growth.ratios(what, rows)] == expected


def test_profile(tiny):
    result = parts.measure([tiny("rmc fused bfloat16"), tiny("lstm bfloat16")], rounds=2)
    own = [one for one in result["rows"] if one["row"] == "lstm bfloat16"]
    assert [one["part"] for one in own][-2:] == ["sum of the parts", "the same step, uncut"]
    assert {"core forward", "core backward", "loss forward", "clip"} <= {one["part"] for one in own}
    assert own[-2]["share"] == 1
