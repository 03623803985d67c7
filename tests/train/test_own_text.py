"""A run knows its text: where it is, from any folder, and what is in it."""

import random
import shutil

import pytest
import yaml

from relational_rnn.runs import Run

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--batch-size", 4, "--bptt", 10),
    *("--max-steps", 3, "--run", "run"),
)


def refused(ended, *parts):
    assert ended.code == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    for part in ("error: ", *parts):
        assert part in ended.stderr


def shuffle(path):
    lines = path.read_text("utf-8").splitlines(keepends=True)
    later = lines[100:]  # the first ones decide the order of equally frequent words
    random.Random(1).shuffle(later)
    path.write_text("".join(lines[:100] + later), "utf-8")


@pytest.fixture
def home(rrnn, text, tmp_path):
    """A folder with ``text`` and ``runs/run``, which was trained on it by its relative name."""
    shutil.copytree(text, tmp_path / "text")
    ended = rrnn("train", "language-modeling", "--data", "text", *SMALL)
    assert ended.code == 0, ended.stderr
    return tmp_path


def test_it_is_found_from_another_folder(rrnn, command, home):
    expected = rrnn("test", "run", "--json")
    assert expected.stderr == ""
    elsewhere = home / "elsewhere"
    shutil.copytree(home / "text", elsewhere / "text")
    (elsewhere / "text/test.txt").write_text("w1 w2\n" * 30, "utf-8")
    found = command("test", home / "runs/run", "--json", cwd=elsewhere)
    assert (found.json, found.stderr) == (expected.json, "")
    run = Run(home / "runs/run")
    assert yaml.safe_load(run.config_path.read_text("utf-8"))["data"] == str(home / "text")
    resumed = command("train", "--resume", run.folder, "--max-steps", 4, cwd=elsewhere)
    assert resumed.code == 0, resumed.stderr


def test_a_data_set_keeps_its_name(rrnn, tmp_path):
    ended = rrnn("train", "language-modeling", "--data", "pydoc", *SMALL[:-4], "--max-steps", 1)
    assert ended.code == 0, ended.stderr
    run = Run(tmp_path / "runs/language-modeling-rmc-1")
    assert vars(run.config)["data"] == "pydoc"
    assert len(run.text_digest) == 64


def test_a_shuffled_text_is_refused_and_noted(rrnn, home):
    shuffle(home / "text/train.txt")  # the same vocabulary and number of words
    before = {path: path.read_bytes() for path in home.rglob("runs/**/*") if path.is_file()}
    words = ("another text than runs/run was trained on", "as --data")
    refused(rrnn("train", "--resume", "run", "--max-steps", 6), *words)
    (home / "runs/run/text.json").unlink()  # the checkpoint knows it as well
    refused(rrnn("train", "--resume", "run", "--max-steps", 6), "last.ckpt: was trained on another")
    (home / "runs/run/text.json").write_bytes(before[home / "runs/run/text.json"])
    assert before == {path: path.read_bytes() for path in home.rglob("runs/**/*") if path.is_file()}
    tested = rrnn("test", "run")
    assert tested.code == 0
    assert f"note: {home}/text has changed since runs/run was trained on it" in tested.stderr
    assert "give --data" in tested.stderr
    assert rrnn("test", "run", "--data", "text").stderr == ""


def test_a_text_that_has_moved(rrnn, home):
    expected = rrnn("test", "run", "--json").json
    (home / "text").rename(home / "moved")
    for words in (["test", "run"], ["train", "--resume", "run", "--max-steps", 6]):
        refused(rrnn(*words), f"runs/run: the text it was trained on, '{home}/text'", "give --data")
    assert rrnn("test", "run", "--data", "moved", "--json").json == expected
    resumed = rrnn("train", "--resume", "run", "--max-steps", 6, "--data", "moved")
    assert resumed.code == 0, resumed.stderr
    assert rrnn("test", "run").stderr == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, "\udc80"])
def test_a_broken_record_of_the_text(rrnn, home, content):
    (home / "runs/run/text.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(rrnn("test", "run"), "runs/run/text.json: broken: ")
