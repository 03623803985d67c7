import json

import pytest

from relational_rnn.bench import growth
from relational_rnn.bench.cases import CORES
from relational_rnn.bench.timing import Stop

TWICE = Stop(seconds=0, least=2, most=2)


@pytest.mark.parametrize("what", growth.POINTS)
def test_growth_asks_for_what_can_be_built(what):
    for point in growth.POINTS[what]:
        config = point.case.config(CORES)
        if what == "heads":
            assert config.num_heads * config.head_size == 768
            assert config.num_heads * config.key_size == 256


def test_growth(tiny):
    points = [
        growth.Point("rmc", size, tiny("rmc fused bfloat16", mem_slots=size)) for size in (1, 2)
    ]
    points.append(growth.Point("rmc", 0, tiny("rmc fused bfloat16", mem_slots=0)))
    result = growth.MEASUREMENT.run(what="slots", points=points, stop=TWICE)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [one["slots"] for one in result["rows"]] == [1, 2, 0]
    assert all(one["train_step_ms"] > 0 and one["core_step_ms"] > 0 for one in result["rows"][:2])
    assert all(one["peak_mb"] >= 0 for one in result["rows"][:2])
    assert set(result["rows"][2]) == {"row", "slots", "error"}


def test_growth_of_the_vocabulary_is_that_of_the_whole_step(tiny):
    case = tiny("rmc fused bfloat16", head="adaptive")
    points = [growth.Point("adaptive softmax", 30, case)]
    result = growth.MEASUREMENT.run(what="vocabulary", points=points, stop=TWICE)
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
