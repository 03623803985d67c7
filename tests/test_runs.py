"""The run folder, and finding runs by name."""

import errno

import pytest
import torch
from safetensors.torch import load_file

from relational_rnn import lock, runs
from relational_rnn.config import LanguageModelingConfig
from relational_rnn.errors import UserError
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import load_language_model
from relational_rnn.runs import Run, find_run, new_run
from relational_rnn.tasks.language_modeling import Vocabulary
from relational_rnn.weights import load_weights, save_weights

CONFIG = LanguageModelingConfig(name="some-rmc", embedding_size=8, head_size=4)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(runs.FOLDER_VARIABLE, raising=False)


def complete(name):
    run = new_run(name, CONFIG)
    run.save_config(CONFIG)
    vocabulary = Vocabulary(["<eos>", "a", "b"])
    vocabulary.save(run.vocabulary_path)
    model = LanguageModel(CONFIG, len(vocabulary))
    save_weights(model, run.weights_path)
    return run, model


def test_names_are_below_runs_and_paths_are_paths(tmp_path):
    assert new_run("mine", CONFIG).folder.resolve() == tmp_path / "runs" / "mine"
    assert new_run("./mine", CONFIG).folder.resolve() == tmp_path / "mine"
    assert new_run(str(tmp_path / "a" / "b"), CONFIG).folder == tmp_path / "a" / "b"


def test_a_new_run_without_a_name_gets_one_of_its_own():
    assert [str(new_run(None, CONFIG).folder) for _ in range(3)] == [
        "runs/some-rmc-1",
        "runs/some-rmc-2",
        "runs/some-rmc-3",
    ]
    named_by_task = LanguageModelingConfig(name="language-modeling", model="lstm")
    assert str(new_run(None, named_by_task).folder) == "runs/language-modeling-lstm-1"


def test_an_empty_folder_may_be_taken_and_a_full_one_not(tmp_path):
    run = new_run("mine", CONFIG)
    assert new_run("mine", CONFIG).folder == run.folder
    run.save_config(CONFIG)
    with pytest.raises(UserError, match=r"runs/mine: exists already.*--resume mine"):
        new_run("mine", CONFIG)
    run.config_path.unlink()
    for left in (".training", ".config.yaml.123.tmp"):  # of a process killed before it had saved
        (run.folder / left).write_text("", encoding="utf-8")
    assert new_run("mine", CONFIG).folder == run.folder
    (run.folder / "notes").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"runs/mine: exists already; choose another --run$"):
        new_run("mine", CONFIG)
    with pytest.raises(UserError, match="--run: must be a name or a folder, got ''"):
        new_run("", CONFIG)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="file: exists already"):
        new_run("./file", CONFIG)
    with pytest.raises(UserError, match="cannot be created"):
        new_run("file/below", CONFIG)


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_further_processes_take_the_folder_of_the_first(monkeypatch, variable):
    monkeypatch.setenv(variable, "0")
    run = new_run(None, CONFIG)
    run.save_config(CONFIG)
    monkeypatch.setenv(variable, "1")
    assert new_run(None, CONFIG).folder == run.folder.resolve()
    assert new_run("some-rmc-1", CONFIG).folder == run.folder
    monkeypatch.delenv(runs.FOLDER_VARIABLE)
    with pytest.raises(UserError, match="--run: must be given"):
        new_run(None, CONFIG)


def test_finding(tmp_path):
    run, _ = complete("mine")
    for name in ("mine", "runs/mine", run.folder, tmp_path / "runs" / "mine"):
        assert find_run(name).folder.resolve() == run.folder.resolve()
    assert find_run("mine").config == CONFIG
    with pytest.raises(UserError, match="mone: no such run; did you mean mine"):
        find_run("mone")
    (tmp_path / "runs" / "empty").mkdir()
    with pytest.raises(UserError, match="empty: not a run folder"):
        find_run("empty")


def test_how_to_resume_can_be_typed(tmp_path):
    assert Run("runs/mine").how_to_resume.endswith("rrnn train --resume mine")
    assert Run("runs/my own").how_to_resume.endswith("rrnn train --resume 'my own'")
    assert Run(tmp_path / "mine").how_to_resume.endswith(f"rrnn train --resume {tmp_path}/mine")


def test_the_model_comes_back(tmp_path):
    _, model = complete("mine")
    loaded = load_language_model(find_run("mine"))
    assert not loaded.training
    assert loaded.head.weight is loaded.embedding.weight
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_tied_weights_are_written_once():
    run, _ = complete("mine")
    assert len([value for value in load_file(run.weights_path).values() if len(value) == 3]) == 2


def test_weights_of_lower_precision_are_converted(tmp_path):
    _, model = complete("mine")
    path = tmp_path / "half.safetensors"
    save_weights(model.bfloat16(), path)
    other = LanguageModel(CONFIG, 3)
    load_weights(other, path)
    assert torch.equal(other.embedding.weight, model.embedding.weight.float())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"head_size": 5}, "of another model: .* is \\["),
        ({"num_layers": 2}, "of another model: only one of them has"),
        ({"model": "lstm"}, "of another model: only one of them has"),
    ],
)
def test_weights_of_another_model(fields, message):
    run, _ = complete("mine")
    other = LanguageModelingConfig(**{"embedding_size": 8, "head_size": 4, **fields})
    with pytest.raises(UserError, match=message):
        load_weights(LanguageModel(other, 3), run.weights_path)


def test_unfinished_runs():
    run = new_run("mine", CONFIG)
    run.save_config(CONFIG)
    Vocabulary(["<eos>"]).save(run.vocabulary_path)
    with pytest.raises(
        UserError, match=r"no trained model yet; resume it with: rrnn train --resume"
    ):
        load_language_model(run)
    with pytest.raises(UserError, match="no summary yet"):
        _ = run.summary
    run.save_summary({"steps": 3})
    assert run.summary["steps"] == 3


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    run = Run(tmp_path)
    refused = pytest.raises(UserError, match="another process trains in it")
    with run.held(new=True), refused, run.held(new=False):
        pass
    run.config_path.write_text("task: language-modeling\n", encoding="utf-8")
    with run.held(new=False):
        pass
    with pytest.raises(UserError, match="exists already"), run.held(new=True):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b"3"])
def test_a_broken_summary(tmp_path, content):
    run = Run(tmp_path)
    run.summary_path.write_bytes(content)
    with pytest.raises(UserError, match=r"summary\.json: broken: "):
        _ = run.summary


def test_a_folder_that_cannot_be_written_to_is_not_held(tmp_path):
    run = Run(tmp_path)
    run.lock_path.mkdir()  # cannot be opened for writing, even by root
    with pytest.raises(UserError, match=r"\.training: cannot be written"), run.held(new=False):
        pass
    run.remove_if_empty()
    assert tmp_path.is_dir()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def missing(descriptor, *, blocking):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock, "lock_descriptor", missing)
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    with run.held(new=True):
        pass
    run.remove_if_empty()
    assert not run.folder.exists()
