"""From a run to a shipped model: rounded, measured, whole or not at all."""

import json
from dataclasses import asdict, fields, replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from relational_rnn import runs
from relational_rnn.evaluate.perplexity import evaluate
from relational_rnn.pretrained import export as exporting
from relational_rnn.pretrained.__main__ import main
from relational_rnn.registry import load_language_model
from relational_rnn.runs import Run, find_run
from relational_rnn.tasks.language_modeling import open_corpus


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of shipped models."""
    path = tmp_path / "models"
    path.mkdir()
    monkeypatch.setattr(runs, "SHIPPED", path)
    return path


@pytest.fixture
def here(world, monkeypatch):
    """Work where the runs are."""
    monkeypatch.chdir(world)
    return world


def test_the_weights_are_those_of_the_run_rounded(world, exported):
    run, model = (load_file(path / "model.safetensors") for path in _both(world, exported))
    assert run.keys() == model.keys()
    for name, value in run.items():
        assert model[name].dtype == torch.bfloat16
        assert torch.equal(model[name], value.bfloat16()), name
    matrices = [name for name, value in model.items() if value.shape == (9, 8)]
    assert matrices == ["embedding.weight"]  # tied: once


@pytest.mark.parametrize("name", ["words", "copying"])
def test_no_field_of_the_configuration_is_lost(world, exported, name):
    run, model = (Run(path).config for path in _both(world, exported, name))
    here = {"data": "text"} if name == "words" else {}
    assert model == replace(run, backend="auto", **here)
    written = yaml.safe_load(Run(exported / f"tiny-{name}").config_path.read_text(encoding="utf-8"))
    assert written.keys() == {field.name for field in fields(run)}
    assert str(world) not in json.dumps(written)
    assert asdict(model)["max_steps"] == 6


def test_the_figures_are_those_of_the_rounded_weights(world, exported):
    trained, summary = (Run(path).summary for path in _both(world, exported))
    model = load_language_model(find_run(world / "runs/words"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    corpus = open_corpus(str(world / "text"))
    for split in ("valid", "test"):
        score = evaluate(model, corpus.tokens[split], start=corpus.vocabulary.eos, batch_size=1)
        assert summary[split]["loss"] == pytest.approx(score.loss, rel=1e-6)
        assert summary[split]["loss"] != trained[split]["loss"]
        assert summary["before_rounding"][split] == trained[split]
    assert summary["weights"] == "bfloat16"
    for key in ("parameters", "steps", "seed", "commit", "versions", "machine"):
        assert summary[key] == trained[key]
    assert summary["evaluated"].keys() == {"commit", "versions", "machine"}
    assert str(world) not in json.dumps(summary)


def test_as_a_command(answer, folder, here):
    done = answer(main, "words", "some-words", "--data", here / "text")
    assert (done.code, done.err) == (0, "")
    first, valid, test = done.out.splitlines()
    assert first == f"{folder / 'some-words'}: 0.0 MB of weights"
    assert valid.startswith("valid: loss ")
    assert test.startswith("test: loss ")
    assert "(before rounding: loss " in test
    assert find_run("some-words").shipped


def _text_of_other_words(world, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for split in ("train", "valid", "test"):
        (other / f"{split}.txt").write_text("some <unk> words\n" * 200, encoding="utf-8")
    return other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "required", id="none"),
        pytest.param(["words"], "name", id="no name"),
        pytest.param(["wards", "new"], "wards: no such run; did you mean words?", id="run"),
        pytest.param(["words", "../new"], "'../new': not a name for a model", id="path"),
        pytest.param(["words", "New"], "'New': not a name for a model", id="capital"),
        pytest.param(["words", "taken"], "taken: exists already; remove it first", id="taken"),
        pytest.param(["unfinished", "new"], "the run has no summary yet", id="unfinished"),
        pytest.param(["words", "new", "--data", "none"], "none: must be a data set", id="data"),
        pytest.param(["words", "new", "--data", "OTHER"], "has another vocabulary", id="words"),
        pytest.param(["copying", "new", "--data", "text"], "--data: has no effect", id="task"),
        pytest.param(["words", "new", "--date", "x"], "--date", id="option"),
    ],
)
def test_mistakes_take_one_line_and_leave_nothing(
    answer, folder, here, tmp_path, arguments, message
):
    (folder / "taken").mkdir()
    (here / "runs/unfinished").mkdir(exist_ok=True)
    (here / "runs/unfinished/config.yaml").write_text("task: memorization\n", encoding="utf-8")
    other = _text_of_other_words(here, tmp_path)
    given = [str(other) if word == "OTHER" else word for word in arguments]
    assert message in answer(main, *given).line
    assert list(folder.rglob("*")) == [folder / "taken"]


def test_a_model_above_the_limit_is_refused(answer, folder, here, monkeypatch):
    size = Run(here / "runs/words").weights_path.stat().st_size
    monkeypatch.setattr(exporting, "LARGEST", size // 2 - 1000)
    line = answer(main, "words", "new").line
    assert "its weights are 0.0 MB in bfloat16; a model of the package must be at most 0 MB" in line
    assert not list(folder.iterdir())


def test_interrupted_it_leaves_nothing(folder, here, monkeypatch):
    def stop(*arguments):
        assert (folder / "new").exists() is False
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save_summary", stop)
    with pytest.raises(KeyboardInterrupt):
        exporting.export(find_run("words"), "new", folder=folder)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made(answer, here, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "file")
    assert "file/new: cannot be written" in answer(main, "words", "new").line


def _both(world, exported, name="words"):
    return world / "runs" / name, exported / f"tiny-{name}"
