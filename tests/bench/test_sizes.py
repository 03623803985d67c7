import json
import math

import pytest
import torch
from torch import nn

from relational_rnn.bench import sizes
from relational_rnn.bench.cases import CORES
from relational_rnn.bench.sizes import Size
from relational_rnn.bench.timing import Stop, Times
from relational_rnn.bench.work import Core
from relational_rnn.ops.relational_memory import BACKENDS

TWICE = Stop(seconds=0, least=2, most=2)
TINY = (Size(3, 4, 2, 2, 4, 3, 2, 5), Size(1, 1, 1, 2, 4, 4, 1, 8))
BACKEND_NAMES = ("reference", "fused", "native")


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(sizes.build, "why_not", lambda: "no C++ compiler was found")
    monkeypatch.setattr(sizes.build, "available", lambda: False)


def test_every_backend_with_each_number_of_threads():
    before = torch.get_num_threads()
    told = []
    result = sizes.MEASUREMENT.run(sizes=TINY, stop=TWICE, progress=told.append)
    assert torch.get_num_threads() == before
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    shapes = [(row["row"], row["steps"], row["batch"], row["threads"]) for row in result["rows"]]
    assert shapes == [
        ("2 x 8", 3, 4, 1),
        ("2 x 8", 3, 4, 2),
        ("1 x 8", 1, 1, 1),
        ("1 x 8", 1, 1, 2),
    ]
    for row in result["rows"]:
        for name in (*BACKEND_NAMES, "lstm", "floor"):
            low, high = row[f"{name}_spread_ms"]
            assert 0 < low <= row[f"{name}_ms"] <= high
            assert row[f"{name}_samples"] == 2
            assert row[f"{name}_cpu_ms"] > 0
        for name in BACKEND_NAMES:
            assert row[f"{name}_over_floor"] == pytest.approx(row[f"{name}_ms"] / row["floor_ms"])
        assert row["fused_over_native"] == pytest.approx(row["fused_ms"] / row["native_ms"])
        assert row["auto"] == "native"
        fastest = min(row[f"{name}_ms"] for name in BACKEND_NAMES)
        assert row["auto_over_fastest"] == pytest.approx(row["native_ms"] / fastest)
        assert row["cpu_share"] > 0
    assert told[:2] == ["2 x 8, T 3, batch 4: 1 thread", "2 x 8, T 3, batch 4: 2 threads"]


def test_without_a_compiler_the_native_columns_are_dashes(without_compiler):
    result = sizes.MEASUREMENT.run(sizes=TINY[:1], threads=[1], stop=TWICE)
    [table] = sizes.MEASUREMENT.tables(result)
    cells = dict(zip(table.header, table.rows[0], strict=True))
    assert cells["native, ms"] == cells["native / floor"] == cells["fused / native"] == "–"
    assert cells["fused, ms"] != "–"
    assert cells["auto"] == "fused"
    assert sizes.draw(result).axes


def test_a_backend_that_is_wrong_has_no_figures(monkeypatch):
    right = BACKENDS["native"]

    def wrong(*arguments):
        output, memory = right(*arguments)
        return output * 1.001, memory

    monkeypatch.setitem(BACKENDS, "native", wrong)
    row, other = sizes.MEASUREMENT.run(sizes=TINY, threads=[1], stop=TWICE)["rows"]
    assert set(row) == set(other) == {"row", "steps", "batch", "threads", "error"}
    assert "differs from the reference" in row["error"]


def test_a_backend_that_fails_while_it_is_timed_has_no_figures(monkeypatch):
    cells = sizes.TimedSize.cells

    def failing(self):
        return cells(self) | {"fused": lambda: math.sqrt(-1)}

    monkeypatch.setattr(sizes.TimedSize, "cells", failing)
    [row] = sizes.MEASUREMENT.run(sizes=TINY[:1], threads=[1], stop=TWICE)["rows"]
    assert set(row) == {"row", "steps", "batch", "threads", "error"}
    assert row["error"].startswith("ValueError: ")


def test_sizes_are_those_of_the_targets_and_of_the_range():
    widths = {(size.slots, size.heads * size.head_size) for size in sizes.SIZES}
    assert {(1, 32), (8, 256), (1, 768)} <= widths
    assert {size.batch for size in sizes.SIZES} >= {1, 512}
    assert {size.steps for size in sizes.SIZES} >= {4, 100}
    assert len(set(map(str, sizes.SIZES))) == len(sizes.SIZES)
    for target in sizes.TARGETS:
        assert set(target.sizes) <= set(sizes.SIZES)


@pytest.mark.parametrize("size", sizes.SIZES, ids=str)
def test_cases_have_the_sizes(size):
    config = size.case("rmc native float32").config(CORES)
    assert (config.bptt, config.batch_size, config.mem_slots) == size[:3]
    assert (config.num_heads, config.head_size, config.key_size) == size[3:6]
    assert (config.attention_mlp_layers, config.embedding_size) == size[6:]
    assert size.core == f"{config.mem_slots} x {config.num_heads * config.head_size}"


@pytest.fixture
def clock(monkeypatch):
    """Let the work take the given times, one after the other."""

    def set_times(*walls):
        answers = iter(walls)

        def timed(work):
            work()
            return Times(next(answers), 0.5)

        monkeypatch.setattr(sizes, "timed", timed)

    return set_times


def test_short_work_is_done_several_times_in_a_sample(clock):
    calls = []
    clock(sizes.SHORTEST / 2, sizes.SHORTEST / 10, 4.0)
    repeats = sizes._repeats(lambda: calls.append(1))
    assert repeats == 10
    assert len(calls) == 2
    assert sizes._sample(lambda: calls.append(1), repeats) == (0.4, 0.05)
    assert len(calls) == 12


def test_long_work_is_done_once_to_warm_up_and_once_in_a_sample(clock):
    calls = []
    clock(sizes.SHORTEST)
    assert sizes._repeats(lambda: calls.append(1)) == 1
    assert len(calls) == 1


@pytest.mark.parametrize(("parameters", "inputs"), [(30_000, 64), (11_800_000, 195), (1, 3)])
def test_the_lstm_has_as_many_parameters(parameters, inputs):
    def count(width):
        return sum(weight.numel() for weight in nn.LSTM(inputs, width).parameters())

    width = sizes.equal_lstm(parameters, inputs)
    nearest = min(range(max(1, width - 2), width + 3), key=lambda h: abs(count(h) - parameters))
    assert width == nearest


def test_the_lstm_of_a_row_is_as_large_as_its_core():
    size = Size(2, 1, 1, 4, 16, 16, 2, 64)
    timed = sizes.TimedSize(size)
    core, lstm = (
        sum(weight.numel() for weight in Core(timed.cases[name]).core.parameters())
        for name in ("native", "lstm")
    )
    assert lstm == pytest.approx(core, rel=0.02)


def figures(size, threads, **found):
    shape = {"row": size.core, "steps": size.steps, "batch": size.batch, "threads": threads}
    return {**shape, **found}


def test_the_worst_row_counts():
    first, second, third = sizes.SMALL
    rows = [
        figures(first, 1, native_over_floor=1.2, fused_over_native=4.0, auto_over_fastest=1.0),
        figures(second, 1, native_over_floor=1.7, fused_over_native=3.5, auto_over_fastest=1.0),
        figures(third, 1, error="it broke"),
        figures(sizes.LANGUAGE_MODEL, 2, fused_over_native=1.1, auto_over_fastest=1.05),
        figures(Size(4, 1, 1, 4, 8, 8, 2, 32), 2, auto_over_fastest=1.2),
    ]
    assert [(one["ratio"], one["value"], one["met"]) for one in sizes.ratios(rows)] == [
        ("native / floor, small cores, 1 thread (4 x 64, T 8, batch 512)", 1.7, False),
        ("fused / native, small cores, 1 thread (4 x 64, T 8, batch 512)", 3.5, True),
        ("auto / fastest, worst row, 1 thread (4 x 64, T 4, batch 256)", 1.0, True),
        ("fused / native, 1 x 768, 2 threads (1 x 768, T 100, batch 64)", 1.1, False),
        ("auto / fastest, worst row, 2 threads (1 x 768, T 100, batch 64)", 1.05, True),
    ]
