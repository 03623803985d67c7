"""A shipped model stands wherever a run is named, and is only read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relational_rnn.registry import load_language_model
from relational_rnn.runs import Run, find_run, shipped_models

WORDS = ("tiny-words", "--json")


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_figures_of_the_summary_come_out(rrnn, package, world, split):
    answer = rrnn("test", *WORDS, "--data", world / "text", "--split", split)
    assert answer.code == 0, answer.err
    expected = json.loads((package / "tiny-words/summary.json").read_text(encoding="utf-8"))
    assert answer.json["loss"] == pytest.approx(expected[split]["loss"], rel=1e-6)
    assert answer.json["perplexity"] == pytest.approx(expected[split]["perplexity"], rel=1e-6)
    assert answer.json["parameters"] == expected["parameters"]
    assert answer.out.startswith("tiny-words: ")


def test_those_of_a_generated_task_too(rrnn, package):
    answer = rrnn("test", "tiny-copying", "--json")
    expected = json.loads((package / "tiny-copying/summary.json").read_text(encoding="utf-8"))
    assert answer.json["loss"] == pytest.approx(expected["test"]["loss"], rel=1e-6)
    assert answer.json["accuracy"] == expected["test"]["accuracy"]
    # the threads of the command and of this process may differ, and with them the roundings
    assert answer.json["by_difficulty"] == [
        pytest.approx(row, rel=1e-6) for row in expected["by_difficulty"]
    ]


def test_the_text_is_that_of_the_name_in_the_configuration(rrnn, package, world, tmp_path):
    assert (
        "the text it was trained on, 'text', is not there; give --data" in rrnn("test", *WORDS).line
    )
    shutil.copytree(world / "text", tmp_path / "text")
    assert rrnn("test", *WORDS).code == 0


def test_every_verb_takes_it_and_writes_to_the_folder_of_work(rrnn, package, world, tmp_path):
    generated = rrnn("generate", *WORDS, "--words", 7, "--seed", 1, "--prompt", "the cat")
    assert generated.code == 0
    assert len(generated.json["text"].replace("\n", " <eos> ").split()) == 7
    (tmp_path / "line.txt").write_text("the cat sat", encoding="utf-8")
    assert rrnn("score", "tiny-words", "line.txt", "--json").json["tokens"] == 4
    methods = ("--temperature", "--cache", "--dynamic", "--segment", 20)
    tested = rrnn("test", *WORDS, "--data", world / "text", *methods).json
    assert {"temperature", "cache", "dynamic"} <= tested.keys()
    assert rrnn("inspect", *WORDS, "--prompt", "the cat").json["picture"] == "report/memory.png"
    reported = rrnn("report", "tiny-words", world / "runs/words", "--json").json
    assert [row["run"] for row in reported["runs"]] == ["tiny-words", "words"]
    assert reported["picture"] == "report/curves.png"
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"line.txt", "memory.png", "memory.html", "curves.png", "report.html"}


@pytest.mark.usefixtures("package")
def test_the_weights_are_float32_in_use():
    model = load_language_model(find_run("tiny-words"))
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_a_run_of_that_name_wins(package, world, tmp_path):
    assert find_run("tiny-words").folder == package / "tiny-words"
    shutil.copytree(world / "runs/words", tmp_path / "runs/tiny-words")
    assert find_run("tiny-words").folder == Path("runs/tiny-words")
    assert not find_run("tiny-words").shipped
    shutil.copytree(world / "runs/words", tmp_path / "tiny-words")
    assert find_run("tiny-words").folder == Path("tiny-words")


def test_a_folder_that_is_no_run_does_not_hide_it(package, tmp_path):
    for folder in (tmp_path / "tiny-words", tmp_path / "runs/tiny-words"):
        folder.mkdir(parents=True)
    assert find_run("tiny-words").folder == package / "tiny-words"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["./tiny-words", "runs/tiny-words", "tiny-words/."])
def test_a_path_is_not_a_name(rrnn, name):
    assert f"{name}: no such run" in rrnn("generate", name).line


@pytest.mark.usefixtures("package")
def test_unknown_names(rrnn, world, tmp_path):
    shutil.copytree(world / "runs/words", tmp_path / "runs/first")
    assert "tiny-wirds: no such run; did you mean tiny-words?" in rrnn("test", "tiny-wirds").line
    assert "fist: no such run; did you mean first?" in rrnn("test", "fist").line
    far = rrnn("test", "xyz").line
    assert "a run folder or the name of one below runs/, or a model of the package:" in far
    assert far.endswith("tiny-copying, tiny-words\n")


def test_what_is_being_made_is_not_there_yet(damaged):
    shutil.copytree(damaged, damaged.with_name(".tiny-half"))
    assert shipped_models() == ["tiny-copying", "tiny-words"]


@pytest.mark.parametrize("name", [str, lambda name: f"package/{name}"], ids=["name", "path"])
def test_training_does_not_go_on(rrnn, package, tmp_path, name):
    (tmp_path / "package").symlink_to(package)
    line = rrnn("train", "--resume", name("tiny-words"), "--max-steps", 9).line
    assert "tiny-words: comes with the package" in line
    assert "start a run of your own: rrnn train" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "package"]


def _without_weights(folder):
    (folder / "model.safetensors").unlink()


def _cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _pickled_weights(folder):
    torch.save({"a": torch.zeros(1)}, folder / "model.safetensors")


def _other_name(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["stranger"] = tensors.pop("embedding.weight")
    save_file(tensors, folder / "model.safetensors")


def _other_shape(folder):
    path = folder / "vocabulary.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps([*words, "more"]), encoding="utf-8")


def _without_vocabulary(folder):
    (folder / "vocabulary.json").unlink()


def _unknown_field(folder):
    with open(folder / "config.yaml", "a", encoding="utf-8") as file:
        file.write("mem_slot: 3\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_weights, "no trained model yet; it came with the package, which is incomplete"),
        (_cut_weights, "model.safetensors: broken, or not a safetensors file"),
        (_pickled_weights, "model.safetensors: broken, or not a safetensors file"),
        (_other_name, "of another model: only one of them has embedding.weight"),
        (_other_shape, "of another model: embedding.weight is [9, 8], not [10, 8]"),
        (_without_vocabulary, "vocabulary.json: cannot be read"),
        (_unknown_field, "mem_slot: unknown field; did you mean mem_slots?"),
    ],
)
def test_damage_is_told_in_one_line(rrnn, damaged, damage, message):
    damage(damaged)
    assert message in rrnn("generate", "tiny-words").line


def test_a_broken_summary(damaged):
    (damaged / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(Exception, match=r"summary.json: broken: .*"):
        _ = Run(damaged).summary
