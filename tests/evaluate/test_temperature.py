import math

import pytest
import torch

from relational_rnn.evaluate import temperature
from relational_rnn.evaluate.perplexity import token_losses


def test_square_roots_at_temperature_two(unigram):
    unigram.says(0.8, 0.2)
    losses = temperature.tempered_losses(unigram, [0, 1], (1.0, 2.0), start=0)
    # sqrt(0.8) : sqrt(0.2) = 2 : 1
    expected = torch.tensor([[0.8, 2 / 3], [0.2, 1 / 3]]).log().neg()
    torch.testing.assert_close(losses, expected)


def test_temperature_one_is_the_plain_loss(model, tokens):
    reading = {"start": 2, "batch_size": 5, "bptt": 150}
    losses = temperature.tempered_losses(model, tokens, (1.0,), **reading)
    torch.testing.assert_close(losses[:, 0], token_losses(model, tokens, **reading))


def test_an_overconfident_model_is_cooled_down(unigram):
    unigram.says(0.9, 0.1)
    text = [0, 0, 0, 1] * 5
    best = temperature.tune(unigram, text, start=0)
    assert best == 1.25  # the largest: log(9) / log(3) = 2 would be right
    score = temperature.evaluate(unigram, text, best, start=0)
    assert score.tokens == 20
    p = 0.9 ** (1 / 1.25) / (0.9 ** (1 / 1.25) + 0.1 ** (1 / 1.25))
    assert score.loss == pytest.approx(-(3 * math.log(p) + math.log(1 - p)) / 4, rel=1e-6)


def test_a_calibrated_model_is_left_alone(unigram):
    unigram.says(0.75, 0.25)
    assert temperature.tune(unigram, [0, 0, 0, 1] * 5, start=0) == 1.0


def test_zero_is_refused(unigram):
    with pytest.raises(ValueError, match="above 0"):
        temperature.evaluate(unigram, [0, 1], 0.0, start=0)
