"""Commands note which files of a finished run are not as it left them."""

import json

import pytest

READING = [
    ("test", "mine"),
    ("generate", "mine", "--words", 3, "--seed", 1),
    ("score", "mine", "text/valid.txt"),
    ("inspect", "mine"),
    ("report", "mine"),
]


def note(*names):
    return f"note: runs/mine: changed since the run ended, so results may differ: {names[0]}\n"


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_an_edited_configuration_of_equal_shapes(rrnn, make_run, words):
    """The number of slots is in no shape: another one gives other results without an error."""
    run = make_run(mem_slots=2)
    assert rrnn(*words).err == ""
    text = run.config_path.read_text(encoding="utf-8")
    assert "mem_slots: 2\n" in text
    run.config_path.write_text(text.replace("mem_slots: 2\n", "mem_slots: 3\n"), encoding="utf-8")
    answer = rrnn(*words)
    assert (answer.code, answer.err) == (0, note("config.yaml"))


def test_weights_of_another_run(rrnn, make_run):
    run, other = make_run(), make_run("other")
    content = run.weights_path.read_bytes()
    assert content == other.weights_path.read_bytes()
    weights = make_run("third", embedding_dropout=0.5, tied=False).weights_path.read_bytes()
    run.weights_path.write_bytes(weights)
    assert rrnn("test", "mine").err.startswith(note("model.safetensors"))


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
