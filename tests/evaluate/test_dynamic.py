import math

import pytest
import torch

from relational_rnn.evaluate import dynamic
from relational_rnn.evaluate.dynamic import Dynamic
from relational_rnn.evaluate.perplexity import token_losses


def second(logit):
    """Probability of the second of two words whose logits are ``-logit`` and ``logit``."""
    return 1 / (1 + math.exp(-2 * logit))


def test_worked_example(unigram):
    # Of two words with logits b the gradient of -log p(w) is p - [w].
    unigram.says(0.5, 0.5)
    rms = [torch.tensor([0.5, 0.5])]
    settings = Dynamic(learning_rate=0.1, decay=0.2, segment=1)
    found = dynamic.dynamic_losses(unigram, [1, 1, 0], settings, rms, start=0)

    step = 0.1 / (0.5 + dynamic.EPSILON)
    first = 0.5
    logit = step * (1 - first)  # nothing to be drawn back to yet
    then = second(logit)
    logit = (1 - 0.2) * logit + step * (1 - then)
    last = 1 - second(logit)
    expected = torch.tensor([first, then, last]).log().neg()
    torch.testing.assert_close(found, expected)


def test_a_weight_is_drawn_back_no_further_than_all_the_way(unigram):
    unigram.says(0.5, 0.5)
    # decay * RMS / mean(RMS) is 1.28 and 0.32: the first weight returns, the second in part.
    rms = [torch.tensor([1.0, 0.25])]
    settings = Dynamic(learning_rate=0.1, decay=0.8, segment=1)
    found = dynamic.dynamic_losses(unigram, [1, 1, 1], settings, rms, start=0)

    trained = math.log(0.5)
    error = 0.5
    one, two = trained - 0.1 * error, trained + 0.4 * error
    error = 1 - second((two - one) / 2)
    one, two = trained - 0.1 * error, trained + 0.68 * (two - trained) + 0.4 * error
    expected = [-math.log(0.5), -math.log(1 - error), -math.log(second((two - one) / 2))]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)  # epsilon is left out here


def test_a_step_is_held_to_twenty_times_the_rate(unigram):
    unigram.says(0.5, 0.5)
    rms = [torch.full((2,), 0.001)]  # the gradient is 500 times as large
    settings = Dynamic(learning_rate=0.1, decay=0.0, segment=1)
    found = dynamic.dynamic_losses(unigram, [1, 1], settings, rms, start=0)
    assert found.tolist() == pytest.approx([math.log(2), -math.log(second(20 * 0.1))], rel=1e-5)


def test_a_step_that_is_no_number_is_not_made(unigram):
    unigram.says(0.5, 0.5)
    settings = Dynamic(learning_rate=3e38, decay=0.0, segment=1)
    found = dynamic.dynamic_losses(unigram, [1, 1, 0], settings, [torch.ones(2)], start=0)
    assert found.tolist() == pytest.approx([math.log(2)] * 3)


def test_gradient_rms_of_one_batch(unigram):
    unigram.says(0.5, 0.5)
    # three streams of one token: the mean gradient is (-1/2 - 1/2 + 1/2) / 3
    (rms,) = dynamic.gradient_rms(unigram, [0, 0, 1], start=0)
    torch.testing.assert_close(rms, torch.full((2,), 1 / 6))


def test_gradient_rms_of_two_batches(unigram, monkeypatch):
    monkeypatch.setattr(dynamic, "STREAMS", 1)
    unigram.says(0.75, 0.25)
    # gradients of the first weight: 0.75 - 1 and 0.75
    (rms,) = dynamic.gradient_rms(unigram, [0, 1], start=0, segment=1)
    torch.testing.assert_close(rms, torch.full((2,), math.sqrt((0.25**2 + 0.75**2) / 2)))
    (rms,) = dynamic.gradient_rms(unigram, [0, 1], start=0, segment=1, batches=1)
    torch.testing.assert_close(rms, torch.full((2,), 0.25))


def test_without_a_step_it_is_the_plain_loss(model, tokens):
    rms = dynamic.gradient_rms(model, tokens, start=2, batches=2)
    still = Dynamic(learning_rate=0.0, decay=0.01, segment=7)
    found = dynamic.dynamic_losses(model, tokens, still, rms, start=2)
    torch.testing.assert_close(found, token_losses(model, tokens, start=2), atol=1e-4, rtol=0)


def test_a_text_that_repeats_itself_gains_and_the_model_stays(forgetful, tokens):
    text = list(tokens[:30]) * 6
    before = {name: value.clone() for name, value in forgetful.state_dict().items()}
    rms = dynamic.gradient_rms(forgetful, tokens, start=2)
    plain = token_losses(forgetful, text, start=2).mean().item()
    adapted = dynamic.evaluate(forgetful, text, Dynamic(2e-3, 1e-3), rms, start=2)
    assert adapted.tokens == len(text)
    assert adapted.loss < plain - 0.05
    assert all(torch.equal(value, before[name]) for name, value in forgetful.state_dict().items())


def test_tuning_picks_the_best_it_tried(forgetful, tokens):
    text = list(tokens[:30]) * 3
    rms = dynamic.gradient_rms(forgetful, tokens, start=2, batches=4)
    best = dynamic.tune(forgetful, text, rms, start=2, segment=10)
    losses = {
        rate: dynamic.evaluate(forgetful, text, best._replace(learning_rate=2 * rate), rms, start=2)
        for rate in dynamic.LEARNING_RATES
    }
    assert best.segment == 10
    assert best.learning_rate == 2 * min(losses, key=lambda rate: losses[rate].loss)


def test_tuning_goes_down_until_it_no_longer_helps(forgetful, tokens, monkeypatch):
    losses = {}

    def dynamic_losses(model, tokens, settings, rms, **reading):
        rate = settings.learning_rate
        value = math.inf if rate > 1e-5 else abs(math.log(rate / 1e-6))
        losses[rate] = value
        return torch.tensor([value])

    monkeypatch.setattr(dynamic, "dynamic_losses", dynamic_losses)
    found = dynamic.tune(forgetful, tokens, [], start=0, segment=64)
    assert losses[found.learning_rate] == min(losses.values())
    assert found.learning_rate == pytest.approx(1e-6, rel=1)
    assert len(losses) < 12


def test_tuning_ends_where_nothing_is_finite(forgetful, tokens, monkeypatch):
    monkeypatch.setattr(dynamic, "dynamic_losses", lambda *_, **__: torch.tensor([math.nan]))
    assert dynamic.tune(forgetful, tokens, [], start=0).learning_rate <= dynamic.LOWEST_RATE
