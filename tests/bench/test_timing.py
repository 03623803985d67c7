import time

import pytest

from relational_rnn.bench.timing import Spread, Stop, Times, interleave, timed


def test_rounds_are_interleaved():
    order = []

    def cell(name, seconds):
        def sample():
            order.append(name)
            return seconds

        return sample

    cells = {"slow": cell("slow", 3.0), "quick": cell("quick", 1.0), "tiny": cell("tiny", 0.1)}
    spreads, errors = interleave(cells, Stop(seconds=4.0, least=2, most=6))
    assert order == [
        *["slow", "quick", "tiny"] * 2,
        *["quick", "tiny"] * 2,
        *["tiny"] * 2,
    ]
    assert spreads["quick"] == Spread(1.0, 1.0, 1.0, 4)
    assert not errors


def test_failure_takes_the_place_of_figures():
    answers = iter([1.0, 1.0])
    cells = {"fails in the end": lambda: next(answers), "goes on": lambda: 1.0}
    spreads, errors = interleave(cells, Stop(seconds=0, least=3, most=3))
    assert errors == {"fails in the end": "StopIteration"}
    assert list(spreads) == ["goes on"]
    assert spreads["goes on"].samples == 3


def test_spread():
    spread = Spread.of([5.0, 1.0, 2.0, 3.0, 4.0, 100.0])
    assert spread.median == 3.5
    assert (spread.p20, spread.p80) == (2.0, 5.0)


def test_progress_is_told_before_each_sample():
    told = []
    interleave({"a": lambda: float(len(told))}, Stop(0, 2, 2), progress=told.append)
    assert told == ["a", "a"]


def test_timed_does_the_work_once():
    calls = []
    assert timed(lambda: calls.append(1)) >= (0, 0)
    assert calls == [1]


def test_a_wait_takes_time_but_no_cpu_time():
    times = timed(lambda: time.sleep(0.05))
    assert times.wall >= 0.05
    assert times.cpu < 0.05


def test_cpu_times_are_kept_with_the_samples():
    cells = {
        "times": iter([Times(1.0, 0.5), Times(2.0, 1.5)]).__next__,
        "from JSON": iter([[1.0, 0.25], [2.0, 0.25]]).__next__,
        "seconds": iter([1.0, 2.0]).__next__,
    }
    spreads, _ = interleave(cells, Stop(seconds=0, least=2, most=2))
    assert {key: spread.median for key, spread in spreads.items()} == dict.fromkeys(cells, 1.5)
    assert {key: spread.cpu for key, spread in spreads.items()} == {
        "times": 1.0,
        "from JSON": 0.25,
        "seconds": None,
    }
    assert spreads["times"].fields("step", "ms")["step_cpu_ms"] == 1000.0
    assert "step_cpu_ms" not in spreads["seconds"].fields("step", "ms")


@pytest.mark.parametrize(
    ("samples", "enough"),
    [
        ([1.0, 1.0], False),
        ([1.0, 1.01, 1.02], True),
        ([1.0, 1.1, 1.2], False),
        ([1.0, 1.1, 1.2, 1.3], True),
        ([4.0, 8.0], True),
    ],
    ids=["two", "alike", "unlike", "most", "seconds"],
)
def test_a_small_spread_is_enough(samples, enough):
    assert Stop(seconds=10.0, least=2, most=4, spread=0.02).reached(samples) is enough


def test_an_interrupt_is_no_failure_of_a_row():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interleave({"a": interrupt}, Stop(0, 1, 1))
