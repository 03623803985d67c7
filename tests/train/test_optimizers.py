"""Optimizers by name, and what they decay."""

from dataclasses import replace

import pytest
import torch

from relational_rnn.config import LanguageModelingConfig, TrainingConfig, load
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import build_task_model
from relational_rnn.train.optimizers import build_optimizer


@pytest.mark.parametrize("model", ["rmc", "lstm"])
def test_adamw_decays_matrices_alone(model):
    config = LanguageModelingConfig(
        model=model,
        optimizer="adamw",
        weight_decay=0.1,
        embedding_size=8,
        head_size=4,
        num_blocks=2,
    )
    language_model = LanguageModel(config, 20)
    optimizer = build_optimizer(config, language_model)
    names = {id(value): name for name, value in language_model.named_parameters()}
    decayed, others = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert "embedding.weight" in decayed
    assert not [name for name in decayed if "bias" in name or "norm" in name]
    assert all("bias" in name or "norm" in name for name in others)
    assert len(decayed) + len(others) == len(names)


def test_adamw_does_not_decay_the_norm_of_a_read_out():
    config = load("nth-farthest", {"readout_norm": True, "weight_decay": 0.1})
    model = build_task_model(config)
    names = {id(value): name for name, value in model.named_parameters()}
    decayed = [names[id(p)] for p in build_optimizer(config, model).param_groups[0]["params"]]
    assert "readout.layers.0.weight" in decayed
    assert "readout.norm.weight" not in decayed


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_norms_of_a_transformer_are_no_matrices(optimizer):
    config = load("associative-recall", {"model": "transformer", "hidden_size": 16})
    config = replace(config, optimizer=optimizer, weight_decay=0.1)
    model = build_task_model(config)
    built = build_optimizer(config, model)
    decayed = [p for group in built.param_groups if group["weight_decay"] for p in group["params"]]
    assert all(parameter.dim() == 2 for parameter in decayed)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    built.step()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"optimizer": "adam", "betas": (0.8, 0.9), "weight_decay": 0.1}, torch.optim.Adam),
        ({"optimizer": "adamw", "betas": (0.8, 0.9)}, torch.optim.AdamW),
        ({"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_options_reach_the_optimizer(fields, kind):
    optimizer = build_optimizer(TrainingConfig(learning_rate=0.5, **fields), torch.nn.Linear(2, 2))
    assert type(optimizer) is kind
    defaults = {**optimizer.defaults, **optimizer.param_groups[0]}
    for name in ("betas", "momentum", "weight_decay"):
        if name in fields:
            assert defaults[name] == fields[name]
    assert defaults["lr"] == 0.5
