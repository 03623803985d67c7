"""Commands note which files of a finished run are not as it left them."""

import json

import pytest
import torch

from relational_rnn.models.language_model import LanguageModel
from relational_rnn.weights import save_weights

READING = [
    ("test", "mine"),
    ("generate", "mine", "--words", 3, "--seed", 1),
    ("score", "mine", "text/valid.txt"),
    ("inspect", "mine"),
    ("report", "mine"),
]


def note(name):
    return f"note: runs/mine: changed since the run ended, so results may differ: {name}\n"


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_an_edited_configuration_of_equal_shapes(rrnn, make_run, words):
    """The bias is in no shape: another one gives other results without an error."""
    run = make_run()
    assert rrnn(*words).err == ""
    text = run.config_path.read_text(encoding="utf-8")
    assert "forget_bias: 1.0\n" in text
    text = text.replace("forget_bias: 1.0\n", "forget_bias: 3.0\n")
    run.config_path.write_text(text, encoding="utf-8")
    answer = rrnn(*words)
    assert (answer.code, answer.err) == (0, note("config.yaml"))


def test_weights_of_another_run(rrnn, make_run):
    run = make_run()
    torch.manual_seed(1)
    save_weights(LanguageModel(run.config, len(run.vocabulary)), run.weights_path)
    answer = rrnn("test", "mine")
    assert (answer.code, answer.err) == (0, note("model.safetensors"))


def test_a_changed_figure(rrnn, make_run):
    run = make_run()
    summary = json.loads(run.summary_path.read_text(encoding="utf-8"))
    summary["test"]["perplexity"] = 1.5
    run.summary_path.write_text(json.dumps(summary), encoding="utf-8")
    answer = rrnn("report", "mine")
    assert (answer.code, answer.err) == (0, note("summary.json"))


def test_a_broken_summary_does_not_keep_the_weights_from_being_used(rrnn, make_run):
    run = make_run()
    run.summary_path.write_text("{", encoding="utf-8")
    answer = rrnn("test", "mine")
    assert answer.code == 0
    assert answer.err.startswith("note: runs/mine/summary.json: broken: ")
    assert answer.err.count("\n") == 1
