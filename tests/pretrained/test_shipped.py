"""The models that are in the package now: whole, small, in bfloat16, and they predict."""

import os
from dataclasses import fields

import pytest
import torch
import yaml
from safetensors.torch import load_file

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.pretrained.export import LARGEST, NAME
from relational_rnn.registry import build_task, load_language_model, load_task_model
from relational_rnn.runs import SHIPPED, Run, shipped_models
from relational_rnn.tasks.sampling import BatchSource

FILES = {"config.yaml", "metrics.csv", "model.safetensors", "summary.json"}
TEXT = "the <unk> of the year was a new one and it is ."


def check(run):
    """Hold a shipped model to all that one has to be."""
    language = isinstance(run.config, LanguageModelingConfig)
    names = {path.name for path in run.folder.iterdir()}
    assert names == FILES | ({"vocabulary.json"} if language else set())
    assert NAME.fullmatch(run.name)
    assert run.weights_path.stat().st_size <= LARGEST
    values = load_file(run.weights_path).values()
    assert {value.dtype for value in values if value.is_floating_point()} == {torch.bfloat16}
    written = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    # a field that was added after the training has a default that changes nothing
    assert written.keys() <= {field.name for field in fields(run.config)}
    summary = run.summary
    assert summary["run"] == run.name
    assert summary["weights"] == "bfloat16"
    for key in ("valid", "test", "seed", "commit", "versions", "machine", "evaluated"):
        assert summary[key] is not None
    if language:
        assert os.sep not in run.config.data
        check_words(run)
    else:
        check_answers(run)


def check_words(run):
    """The probabilities of all words after each of a few add up to one."""
    model = load_language_model(run)
    assert sum(value.numel() for value in model.parameters()) == run.summary["parameters"]
    known = [word for word in TEXT.split() if word in run.vocabulary.index]
    ids = torch.tensor(run.vocabulary.encode(["<eos>", *known], where="the test"))[:, None]
    with torch.no_grad():
        hidden, state = model.features(ids, model.initial_state(1))
        log_probabilities = model.head.log_probabilities(hidden)  # [T, 1, V]
    assert log_probabilities.shape == (len(ids), 1, len(run.vocabulary))
    assert log_probabilities.isfinite().all()
    total = log_probabilities.logsumexp(dim=-1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-4)
    assert all(tensor.isfinite().all() for tensor in state)


def check_answers(run):
    """The logits of an example are finite."""
    model = load_task_model(run)
    task = build_task(run.config, training=False)
    source = BatchSource(task, batch_size=2, batches=1, seed=run.config.seed, stream="test")
    batch = source.batch(0)
    with torch.no_grad():
        logits = model(batch.inputs, batch.input_lengths, batch.targets)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", shipped_models())
def test_a_model_of_the_package(name):
    check(Run(SHIPPED / name))


@pytest.mark.parametrize("name", ["tiny-copying", "tiny-words"])
def test_the_check_on_models_made_here(exported, name):
    check(Run(exported / name))


def test_every_folder_of_the_package_is_a_model():
    folders = {path.name for path in SHIPPED.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == set(shipped_models())
