import math

import pytest
import torch

from relational_rnn.evaluate import cache
from relational_rnn.evaluate.perplexity import token_losses

HIDDEN = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
WORDS = torch.tensor([7, 8, 7, 8])


def test_worked_example():
    # theta = ln 3: a word seen in the same state weighs 3, one seen in an unrelated state 1.
    found = cache.cache_probabilities(HIDDEN, WORDS, theta=math.log(3), window=10)
    assert found[0].isnan()
    # word 1 is 8, and only 7 is known; word 2 is 7: 3 against 1; word 3 is 8: 1 of 3 + 1 + 3.
    torch.testing.assert_close(found[1:], torch.tensor([0.0, 3 / 4, 1 / 7]))


def test_the_window_forgets():
    found = cache.cache_probabilities(HIDDEN, WORDS, theta=math.log(3), window=2)
    # word 3 sees words 1 (8, unrelated) and 2 (7, the same).
    torch.testing.assert_close(found[1:], torch.tensor([0.0, 3 / 4, 1 / 4]))


def test_mixture():
    losses = torch.tensor([0.5, 0.2]).log().neg()
    mixed = cache.mix(losses, torch.tensor([math.nan, 0.7]), 0.1)
    expected = torch.tensor([0.5, 0.9 * 0.2 + 0.1 * 0.7], dtype=torch.float64).log().neg()
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("window", [1, 3, 300, 1000])
def test_blocks_of_queries_agree_with_the_definition(window):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(600, 5, generator=generator)
    words = torch.randint(4, (600,), generator=generator)
    found = cache.cache_probabilities(hidden, words, theta=0.3, window=window)
    for number in (1, 2, 255, 256, 257, 512, 599):
        seen = slice(max(number - window, 0), number)
        weights = torch.exp(0.3 * hidden[seen] @ hidden[number])
        expected = weights[words[seen] == words[number]].sum() / weights.sum()
        torch.testing.assert_close(found[number], expected)


def test_probabilities_of_all_words_sum_to_one():
    hidden = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    words = torch.arange(20) % 4
    total = torch.zeros(())
    for word in range(4):
        words[-1] = word
        total += cache.cache_probabilities(hidden, words, theta=0.5, window=50)[-1]
    torch.testing.assert_close(total, torch.ones(()))


def test_hidden_states_belong_to_their_words(model, tokens):
    reading = {"start": 2, "bptt": 40}
    hidden, losses = cache.remember(model, tokens, batch_size=6, **reading)
    assert hidden.shape == (len(tokens), 8)
    torch.testing.assert_close(losses, token_losses(model, tokens, batch_size=1, **reading))
    again = model.head.loss(hidden, torch.as_tensor(tokens), reduction="none")
    torch.testing.assert_close(losses, again)


def test_a_text_that_repeats_itself_gains(forgetful, tokens):
    text = list(tokens[:50]) * 6
    plain = token_losses(forgetful, text, start=2).mean().item()
    settings = cache.tune(forgetful, text, start=2)
    score = cache.evaluate(forgetful, text, settings, start=2)
    assert score.tokens == 300
    assert score.loss < plain - 0.1
    worse = cache.Cache(settings.theta, 0.001, settings.window)
    assert cache.evaluate(forgetful, text, worse, start=2).loss > score.loss
