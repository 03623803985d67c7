"""Two runs of a few steps, the models made of them, and the command as a function."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from relational_rnn import runs
from relational_rnn.cli import main
from relational_rnn.pretrained.export import export
from relational_rnn.runs import find_run

SENTENCES = ["the cat sat on the mat", "a dog <unk> the cat", "", "the mat sat"]
SMALL = ("--embedding-size", "8", "--head-size", "4", "--num-heads", "2", "--max-steps", "6")


@dataclass
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def line(self):
        """The one line of a mistake."""
        assert (self.code, self.out, self.err.count("\n")) == (2, "", 1), self
        return self.err


@pytest.fixture
def answer(capsys):
    """Call the main function of a command and return its answer."""

    def call(command, *arguments):
        code = command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def rrnn(answer):
    """Run ``rrnn`` and return its answer."""
    return lambda *arguments: answer(main, *arguments)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with ``text/``, the cache, and ``runs/words`` and ``runs/copying`` of six steps."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "text").mkdir()
    for split, times in (("train", 20), ("valid", 4), ("test", 5)):
        lines = "\n".join(SENTENCES * times) + "\n"
        (folder / "text" / f"{split}.txt").write_text(lines, encoding="utf-8")
    copying = ("--length", "2", "--test-examples", "20", "--valid-examples", "8")
    words = ("--data", str(folder / "text"), "--learning-rate", "0.02", "--clip", "0.7")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RRNN_CACHE", str(folder / "cache"))
        patch.setenv(runs.FOLDER_VARIABLE, "")
        assert main(["train", "language-modeling", "--run", "words", *words, *SMALL]) == 0
        assert main(["train", "memorization", "--run", "copying", *copying, *SMALL[2:]]) == 0
    return folder


@pytest.fixture(scope="session")
def exported(world):
    """The shipped models made of the runs: ``tiny-words`` and ``tiny-copying``."""
    folder = world / "package"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        patch.setenv("RRNN_CACHE", str(world / "cache"))
        for name in ("words", "copying"):
            export(find_run(name), f"tiny-{name}", folder=folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(world, tmp_path, monkeypatch):
    """Work in an empty folder, where there are no runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", str(world / "cache"))


@pytest.fixture
def package(exported, monkeypatch):
    """The shipped models in the place of the package's; after the test they are as before."""

    def state():
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
            for path in exported.rglob("*")
        }

    monkeypatch.setattr(runs, "SHIPPED", exported)
    before = state()
    yield exported
    assert state() == before


@pytest.fixture
def damaged(exported, tmp_path, monkeypatch):
    """A copy of the shipped models that may be broken."""
    folder = Path(shutil.copytree(exported, tmp_path / "damaged"))
    monkeypatch.setattr(runs, "SHIPPED", folder)
    return folder / "tiny-words"
