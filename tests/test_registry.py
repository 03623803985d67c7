"""The registry: an entry for every task, and every part of it there."""

import pytest
import torch

from relational_rnn.config import TASKS, GeneratedConfig, LanguageModelingConfig, load
from relational_rnn.registry import (
    REGISTRY,
    build_model,
    build_task,
    build_task_model,
    entry,
    is_generated,
    load_task_model,
    resolve,
)
from relational_rnn.runs import Run
from relational_rnn.tasks.sampling import BatchSource

GENERATED = [name for name, task in REGISTRY.items() if task.task is not None]


def test_every_task_has_an_entry():
    assert REGISTRY.keys() == TASKS.keys()


@pytest.mark.parametrize("name", REGISTRY)
def test_the_parts_of_an_entry_are_there(name):
    found = entry(load(name))
    paths = [found.model, found.training, found.corpus, found.task]
    assert all(callable(resolve(path)) for path in paths if path is not None)
    assert (found.corpus is None) != (found.task is None)
    assert is_generated(load(name)) == issubclass(TASKS[name], GeneratedConfig)


@pytest.mark.parametrize("name", GENERATED)
def test_a_task_is_made_of_its_configuration(name):
    config = load(name)
    task = build_task(config, training=True)
    for field in ("objects", "features", "order", "category", "length", "nesting"):
        assert hasattr(task, field) == hasattr(config, field)
        assert getattr(task, field, None) == getattr(config, field, None)
    with pytest.raises(TypeError, match="language-modeling is not a generated task"):
        build_task(load("language-modeling"), training=True)


@pytest.mark.parametrize(
    ("name", "curriculum", "training", "follows"),
    [
        ("nth-farthest", "grow", True, True),
        ("nth-farthest", "grow", False, False),
        ("nth-farthest", "mix", True, False),
        ("programs", "naive", True, True),
        ("programs", "combined", True, True),
        ("programs", "grow", True, True),
        ("programs", "frontier", True, True),
        ("programs", "combined", False, False),
        ("programs", "mix", True, False),
        ("memorization", "mix", True, False),
    ],
)
def test_curricula_that_follow_the_loss(name, curriculum, training, follows):
    task = build_task(load(name, {"curriculum": curriculum}), training=training)
    assert task.follows_loss == follows
    before = task.state_dict()
    raised = sum(task.update(1e-6) for _ in range(12)) > 0
    assert raised == follows == (task.state_dict() != before)


@pytest.mark.parametrize("name", GENERATED)
def test_a_model_answers_a_batch_and_is_described(name):
    small = {"head_size": 4, "num_heads": 1, "readout_size": 8, "test_examples": 9}
    config = load(name, small)
    task = build_task(config, training=False)
    source = BatchSource(task, batch_size=1, batches=1, seed=1, stream="test")
    batch = source.batch(0)
    with torch.no_grad():
        logits = build_task_model(config)(batch.inputs, batch.input_lengths, batch.targets)
    found = task.describe(batch, logits.argmax(dim=-1))
    assert ", correct " in found.title
    assert len(found.steps) >= len(batch.inputs)


def test_the_sizes_of_a_language_model():
    config = LanguageModelingConfig(embedding_size=8, head_size=4)
    model = build_model(config, vocabulary_size=7)
    assert model.get_parameter("embedding.weight").shape == (7, 8)


def test_a_run_of_another_kind(tmp_path):
    run = Run(tmp_path / "words")
    run.save_config(LanguageModelingConfig())
    with pytest.raises(Exception, match="its task is language-modeling, not a generated one"):
        load_task_model(run)
