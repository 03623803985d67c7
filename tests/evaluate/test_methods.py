import pytest
import torch

from relational_rnn.evaluate import cache, dynamic, temperature
from relational_rnn.evaluate.methods import evaluate_with


@pytest.fixture
def splits():
    generator = torch.Generator().manual_seed(8)
    return {
        split: torch.randint(11, (length,), generator=generator).repeat(3).numpy()
        for split, length in (("train", 60), ("valid", 40), ("test", 20))
    }


def test_settings_come_from_valid_and_the_figure_from_the_split(forgetful, splits):
    found = evaluate_with("cache", forgetful, splits, "test", start=2)
    settings = cache.tune(forgetful, splits["valid"], start=2)
    assert (found["theta"], found["lambda"], found["window"]) == settings
    score = cache.evaluate(forgetful, splits["test"], settings, start=2)
    assert (found["loss"], found["tokens"]) == (score.loss, 60)

    found = evaluate_with("temperature", forgetful, splits, "test", start=2)
    best = temperature.tune(forgetful, splits["valid"], start=2)
    assert found["temperature"] == best
    assert found["loss"] == temperature.evaluate(forgetful, splits["test"], best, start=2).loss


def test_dynamic_evaluation_takes_its_statistics_from_train(forgetful, splits):
    found = evaluate_with("dynamic", forgetful, splits, "test", segment=10, start=2, batch_size=4)
    rms = dynamic.gradient_rms(forgetful, splits["train"], start=2, segment=10)
    settings = dynamic.tune(forgetful, splits["valid"], rms, start=2, segment=10)
    assert settings._asdict().items() <= found.items()
    score = dynamic.evaluate(forgetful, splits["test"], settings, rms, start=2)
    assert found["loss"] == score.loss
