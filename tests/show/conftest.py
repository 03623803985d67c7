"""Runs of small models with random weights, as training leaves them."""

import pytest
import torch

from relational_rnn.config import LanguageModelingConfig, NthFarthestConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import build_task_model
from relational_rnn.runs import Run
from relational_rnn.tasks.language_modeling import Vocabulary
from relational_rnn.weights import save_weights

WORDS = ["the", "<eos>", "cat", "<unk>", "sat", "on", "mat", "dog", "ran", "a", "house", "saw"]
TEXT_METRICS = (
    "step,tokens,seconds,train_loss,valid_perplexity\n10,350,1.5,2.5,9.0\n20,700,3.0,2.0,8.0\n"
)
TASK_METRICS = (
    "step,examples,seconds,train_loss,valid_accuracy\n10,320,1.5,1.4,0.25\n20,640,3.0,1.3,0.5\n"
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save_language(name, *, words=WORDS, **fields):
    """A run of language-modeling below ``runs/``."""
    torch.manual_seed(len(name))
    config = LanguageModelingConfig(embedding_size=8, head_size=4, num_heads=2, **fields)
    run = Run(f"runs/{name}")
    run.save_config(config)
    Vocabulary(words).save(run.vocabulary_path)
    model = LanguageModel(config, len(words))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)  # the memory decides, not the biases
    save_weights(model, run.weights_path)
    run.metrics_path.write_text(TEXT_METRICS, encoding="utf-8")
    run.save_summary({"steps": 20, "valid": {"perplexity": 8.0}, "test": {"perplexity": 7.5}})
    return run


def save_nth_farthest(name, **fields):
    """A run of nth-farthest below ``runs/``."""
    torch.manual_seed(len(name))
    sizes = {"objects": 4, "features": 2, "mem_slots": 3, "head_size": 4, "num_heads": 2}
    config = NthFarthestConfig(**(sizes | {"readout_size": 8} | fields))
    run = Run(f"runs/{name}")
    run.save_config(config)
    save_weights(build_task_model(config), run.weights_path)
    run.metrics_path.write_text(TASK_METRICS, encoding="utf-8")
    return run
