"""The learning rate over the steps."""

import pytest

from relational_rnn.config import TrainingConfig
from relational_rnn.train.schedules import factor


def factors(steps=101, **fields):
    config = TrainingConfig(**fields)
    return [factor(config, step, steps) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_flat(schedule):
    assert factors(schedule=schedule) == [1.0] * 101


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine", "trapezoid"])
def test_warm_up_is_linear_and_ends_at_its_last_step(schedule):
    rising = factors(schedule=schedule, warmup_steps=4)[:4]
    assert rising == [0.25, 0.5, 0.75, 1.0]


def test_cosine_falls_by_half_a_wave_to_the_final_fraction():
    values = factors(schedule="cosine", final_fraction=0.2)
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.6)
    assert values[25] == pytest.approx(0.2 + 0.8 * (1 + 2**-0.5) / 2)
    assert values[-1] == pytest.approx(0.2)
    assert values == sorted(values, reverse=True)


def test_cosine_begins_after_the_warm_up():
    values = factors(schedule="cosine", warmup_steps=20, steps=121)
    assert values[20] == 1.0
    assert values[20:] == pytest.approx(factors(schedule="cosine"))


def test_one_cycle_rises_and_falls():
    values = factors(schedule="one-cycle", final_fraction=0.01)
    top = values.index(max(values))
    assert (top, max(values)) == (30, pytest.approx(1.0))
    assert values[0] == pytest.approx(1 / 25)
    assert values[-1] == pytest.approx(0.01)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)


def test_trapezoid_falls_linearly_in_the_last_fifth():
    values = factors(schedule="trapezoid", final_fraction=0.2)
    assert values[:81] == [1.0] * 81
    assert values[90] == pytest.approx(0.6)
    assert values[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps"),
    [
        ("constant", 0),
        ("constant", 5),
        ("cosine", 0),
        ("cosine", 5),
        ("one-cycle", 0),
        ("trapezoid", 5),
    ],
)
def test_one_step_alone(schedule, warmup_steps):
    assert 0 < factors(steps=1, schedule=schedule, warmup_steps=warmup_steps)[0] <= 1
