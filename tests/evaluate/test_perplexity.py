import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.evaluate.perplexity import evaluate, token_losses
from relational_rnn.models.language_model import LanguageModel

START = 2


def one_by_one(model, tokens):
    """The definition: a token at a time, in one stream."""
    training = model.training
    model.eval()
    state = model.initial_state(1)
    losses = []
    with torch.no_grad():
        for before, word in zip([START, *tokens[:-1]], tokens, strict=True):
            hidden, state = model.features(torch.tensor([[before]]), state)
            losses.append(-model.head.log_probabilities(hidden)[0, 0, word].item())
    model.train(training)
    return torch.tensor(losses)


@pytest.mark.parametrize("bptt", [1, 7, 100, 1000])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 16, 500])
def test_any_batch_and_window_give_the_loss_of_one_stream(model, tokens, batch_size, bptt):
    losses = token_losses(model, tokens, start=START, batch_size=batch_size, bptt=bptt)
    torch.testing.assert_close(losses, one_by_one(model, tokens), atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [1, 2, 9, 10, 16])
def test_texts_that_do_not_divide_into_pieces(model, tokens, length):
    losses = token_losses(model, tokens[:length], start=START, batch_size=8, bptt=3)
    torch.testing.assert_close(losses, one_by_one(model, tokens[:length]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 16])
def test_perplexity_is_the_same_to_a_hundred_thousandth(model, tokens, batch_size):
    score = evaluate(model, tokens, start=START, batch_size=batch_size, bptt=7)
    expected = math.exp(one_by_one(model, tokens).double().mean())
    assert score.perplexity == pytest.approx(expected, rel=1e-5)
    assert score.tokens == len(tokens)
    assert score.loss == pytest.approx(math.log(score.perplexity))


REAL = {
    "rmc": {"model": "rmc", "mem_slots": 2, "head_size": 4, "num_heads": 2},
    "rmc-deep": {"model": "rmc", "mem_slots": 1, "head_size": 8, "num_layers": 2},
    "lstm": {"model": "lstm", "hidden_size": 12, "num_layers": 2},
    "adaptive": {"model": "lstm", "hidden_size": 8, "head": "adaptive", "tied": False},
    "mixture": {"model": "lstm", "hidden_size": 8, "mixtures": 3},
    "smoothed": {"model": "lstm", "hidden_size": 8, "label_smoothing": 0.1},
}


@pytest.fixture(params=REAL)
def language_model(request):
    torch.manual_seed(4)
    config = LanguageModelingConfig(
        embedding_size=8, embedding_dropout=0.5, output_dropout=0.5, **REAL[request.param]
    )
    model = LanguageModel(config, 11)
    with torch.no_grad():
        model.embedding.weight *= 5  # what it says shall depend on what it has read
    return model


@pytest.mark.parametrize("batch_size", [1, 6])
def test_language_models(language_model, tokens, batch_size):
    losses = token_losses(language_model, tokens, start=START, batch_size=batch_size, bptt=20)
    expected = one_by_one(language_model, tokens)
    assert expected.std() > 0.02
    torch.testing.assert_close(losses, expected, atol=1e-4, rtol=0)


def test_language_models_in_low_precision(language_model, tokens):
    low, exact = (
        evaluate(language_model, tokens, start=START, batch_size=6, precision=precision)
        for precision in ("bf16-mixed", "32")
    )
    # Untrained and turned up, a memory multiplies rounding: over eight seeds the plain reference
    # in bfloat16 is off by 6 % on average (rmc-deep), the fused path likewise.
    assert low.perplexity == pytest.approx(exact.perplexity, rel=1e-1)
    again = evaluate(language_model, tokens, start=START, batch_size=1, precision="bf16-mixed")
    rounding = abs(low.perplexity / exact.perplexity - 1)
    # Each batch size rounds in its own way; the native core multiplies few rows in float32.
    assert low.perplexity == pytest.approx(again.perplexity, rel=2 * max(rounding, 1e-3))


def test_low_precision_is_the_same_to_a_thousandth(model, tokens):
    scores = [
        evaluate(model, tokens, start=START, batch_size=size, bptt=50, precision="bf16-mixed")
        for size in (1, 8)
    ]
    assert scores[0].perplexity == pytest.approx(scores[1].perplexity, rel=1e-3)


def test_seams_cost_little_when_the_memory_forgets(forgetful):
    tokens = torch.randint(11, (8000,), generator=torch.Generator().manual_seed(1)).numpy()
    evaluate(forgetful, tokens, start=START, batch_size=8, bptt=20)
    assert 1000 < forgetful.calls < 1500


def test_the_model_is_left_as_it_was(model, tokens):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, tokens, start=START, batch_size=4, bptt=30)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"tokens": []}, "tokens must hold at least one token", id="empty"),
        pytest.param(
            {"batch_size": 0}, "batch_size and bptt must be at least 1, got 0 and 100", id="batch"
        ),
        pytest.param(
            {"bptt": 0}, "batch_size and bptt must be at least 1, got 32 and 0", id="bptt"
        ),
        pytest.param(
            {"precision": "16"}, "precision must be '32' or 'bf16-mixed', got '16'", id="precision"
        ),
    ],
)
def test_wrong_arguments_are_named(forgetful, tokens, change, message):
    arguments = {"tokens": tokens, "start": START} | change
    with pytest.raises(ValueError, match=message):
        evaluate(forgetful, **arguments)


@pytest.mark.parametrize("core", ["rmc", "lstm", "lstm-loop", "gru", "mingru"])
def test_with_reset_the_perplexity_is_of_each_line_alone(core):
    torch.manual_seed(0)
    config = LanguageModelingConfig(
        model=core, embedding_size=8, head_size=4, num_heads=2, reset="eos"
    )
    model = LanguageModel(config, 11, 10)
    with torch.no_grad():
        model.embedding.weight *= 30
    lines = [[3, 5, 1, 10], [10], [4] * 17 + [10], [0, 1, 10], [2, 10]]
    text = np.array([*chain.from_iterable(lines)])
    alone = [token_losses(model, np.array(line), start=10) for line in lines]
    for batch_size, bptt in [(1, 100), (1, 3), (4, 5), (6, 1), (32, 2)]:
        reading = {"start": 10, "batch_size": batch_size, "bptt": bptt}
        torch.testing.assert_close(token_losses(model, text, **reading), torch.cat(alone))
        score = evaluate(model, text, **reading)
        expected = torch.cat(alone).double().mean().exp().item()
        assert score.perplexity == pytest.approx(expected, rel=1e-5)  # float32, 18 steps deep
    off = LanguageModel(replace(config, reset=None), 11)
    off.load_state_dict(model.state_dict())
    assert not torch.allclose(token_losses(off, text, start=10), torch.cat(alone))
