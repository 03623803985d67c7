"""Decisions that follow from validation: best, plateau, patience, start of averaging."""

import math

import pytest

from relational_rnn.config import TrainingConfig
from relational_rnn.train.state import TrainingState


def after(config, losses):
    result = TrainingState()
    for step, loss in enumerate(losses, 1):
        result.step = step
        result.validated(config, loss)
    return result


def test_best():
    found = after(TrainingConfig(), [3.0, 2.0, 2.5, 2.0])
    assert (found.best_error, found.best_step, found.without_improvement) == (2.0, 2, 2)


@pytest.mark.parametrize(
    ("patience", "losses", "scale"),
    [
        pytest.param(0, [3, 2, 1], 1.0, id="falling"),
        pytest.param(0, [3, 2, 2], 0.5, id="no better"),
        pytest.param(0, [3, 4, 4], 0.25, id="twice"),
        pytest.param(1, [3, 4], 1.0, id="within patience"),
        pytest.param(1, [3, 4, 4], 0.5, id="out of patience"),
        pytest.param(1, [3, 4, 4, 4], 0.5, id="count restarts"),
        pytest.param(1, [3, 4, 2, 4], 1.0, id="improved between"),
    ],
)
def test_plateau(patience, losses, scale):
    config = TrainingConfig(schedule="plateau", plateau_factor=0.5, plateau_patience=patience)
    assert after(config, losses).plateau_scale == scale
    assert after(config, losses).learning_rate(config, 100) == config.learning_rate * scale
    assert after(TrainingConfig(schedule="constant"), losses).plateau_scale == 1.0


@pytest.mark.parametrize(
    ("patience", "losses", "stop"),
    [(2, [1, 2], False), (2, [1, 2, 3], True), (2, [3, 4, 2], False), (None, [1, 2, 3, 4], False)],
)
def test_early_stop(patience, losses, stop):
    config = TrainingConfig(patience=patience)
    assert after(config, losses).out_of_patience(config) == stop


@pytest.mark.parametrize(
    ("losses", "averaging"),
    [
        pytest.param([5, 4, 3, 2, 1], False, id="falling"),
        pytest.param([5, 4, 6], False, id="too few to compare with"),
        pytest.param([5, 4, 6, 6], True, id="worse than before the last two"),
        pytest.param([5, 6, 7, 4], False, id="better than before the last two"),
    ],
)
def test_nt_asgd_starts_when_a_loss_is_above_the_best_of_those_before_the_last(losses, averaging):
    config = TrainingConfig(averaging="nt-asgd", nonmono=2)
    assert after(config, losses).averaging == averaging
    assert not after(TrainingConfig(averaging="ema"), losses).averaging


def test_state_round_trip():
    config = TrainingConfig(schedule="plateau", averaging="nt-asgd", nonmono=1)
    one = after(config, [3.0, 2.0, 2.5, 2.7, 2.8])
    other = TrainingState()
    assert math.isinf(other.best_error)
    other.load_state_dict(one.state_dict())
    assert other == one
