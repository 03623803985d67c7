"""A text, a run of a model that was not trained, and the command as a function."""

import json
from dataclasses import dataclass

import pytest
import torch

from relational_rnn.cli import main
from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.runs import Run
from relational_rnn.tasks.language_modeling import open_corpus
from relational_rnn.weights import save_weights

SENTENCES = ["the cat sat on the mat", "a dog <unk> the cat", "", "the mat sat"]


@dataclass
class Answer:
    """What the command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def rrnn(capsys):
    """Run the command and return its answer."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Work in an empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """Show no progress, however slow the machine is."""
    monkeypatch.setattr("relational_rnn.progress.SHOW_AFTER", 3600.0)


@pytest.fixture
def text(tmp_path):
    """A folder with a text in three parts."""
    folder = tmp_path / "text"
    folder.mkdir()
    for split, times in (("train", 20), ("valid", 4), ("test", 5)):
        lines = "\n".join(SENTENCES * times) + "\n"
        (folder / f"{split}.txt").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def make_run(text):
    """A run folder as training leaves it, of a model with random weights."""

    def make(name="mine", **fields):
        torch.manual_seed(0)
        config = LanguageModelingConfig(
            data=str(text), embedding_size=8, head_size=4, num_heads=2, **fields
        )
        vocabulary = open_corpus(str(text)).vocabulary
        run = Run(f"runs/{name}")
        run.save_config(config)
        vocabulary.save(run.vocabulary_path)
        save_weights(LanguageModel(config, len(vocabulary)), run.weights_path)
        rows = "step,tokens,seconds,train_loss,valid_perplexity\n10,350,1.5,2.0,8.0\n"
        run.metrics_path.write_text(rows, encoding="utf-8")
        run.save_summary({"parameters": 1000, "test": {"loss": 2.0, "perplexity": 7.5}})
        return run

    return make
