"""From a raw text to a trained model that writes, in two commands."""

import json
import math
from pathlib import Path

import pytest

from relational_rnn.printable import printable
from relational_rnn.runs import Run

SENTENCES = (
    'The miller said: "I don\'t know (yet)!"\n'
    "The stream was low, and the mill stood still.\n"
    "Der Müller sagte: „Nein“, und ging.\n"
    "磨坊主说：“今天不磨面粉。”\n"
    "def mill(corn, water=3.5): return corn * water\n\n"
)
SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--batch-size", 4, "--bptt", 10),
    *("--max-steps", 3, "--run", "run"),
)
KINDS = ("words", "chars", "subwords", "blanks")


@pytest.fixture
def raw(tmp_path):
    """A folder with two files of raw text."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a.md", "b.txt"):
        (folder / name).write_text(SENTENCES * 40, encoding="utf-8")
    return folder


@pytest.fixture
def train(rrnn, raw):
    """Prepare the raw text and train on it."""

    def call(*options):
        prepared = rrnn("data", raw, "--json", *options)
        assert prepared.code == 0, prepared.err
        trained = rrnn(
            "train", "language-modeling", "--data", prepared.json["folder"], *SMALL, "--json"
        )
        assert trained.code == 0, trained.err
        return prepared, trained

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_two_commands(rrnn, train, raw, tmp_path, kind):
    prepared, trained = train("--tokens", kind, "--vocabulary-size", 400)
    assert prepared.json["folder"] == "texts/raw"
    assert "rrnn train language-modeling --data texts/raw" in prepared.out
    assert set(prepared.json["unknown"].values()) == {0}
    run = Run("runs/run")
    assert run.tokenizer_path.read_bytes() == Path("texts/raw/tokenizer.json").read_bytes()

    tested = rrnn("test", "run", "--json")
    assert (tested.code, tested.err) == (0, "")
    assert tested.json["loss"] == pytest.approx(trained.json["test"]["loss"], rel=1e-5)
    scored = rrnn("score", "run", "texts/raw/test.txt", "--json")
    assert scored.json["loss"] == pytest.approx(tested.json["loss"], rel=1e-5)
    for result in (trained.json["test"], tested.json, scored.json):
        assert ("perplexity_per_word" in result) == (kind in ("chars", "subwords"))
    if kind in ("chars", "subwords"):
        text = Path("texts/raw/test.txt").read_text(encoding="utf-8")
        nats = tested.json["loss"] * tested.json["tokens"]
        for result, answer in ((trained.json["test"], trained), (tested.json, tested),
                               (scored.json, scored)):  # fmt: skip
            bits = nats / math.log(2) / len(text)
            assert result["bits_per_character"] == pytest.approx(bits, rel=1e-5)
            assert f"{bits:.3f} bits per character" in answer.out

    assert rrnn("inspect", "run", "--prompt", "The mill").code == 0
    assert rrnn("inspect", "run").code == 0
    assert rrnn("train", "--resume", "run", "--max-steps", 4).code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_generated_text_continues_the_prompt(rrnn, train, kind):
    train("--tokens", kind)
    for prompt in ("The miller said:", "The mill\n", ""):
        answer = rrnn("generate", "run", "--prompt", prompt, "--words", 30, "--seed", 2, "--json")
        assert answer.code == 0
        shown, given = answer.out, answer.json
        assert shown.startswith(prompt)
        assert len(given["each"]) == 30
        written = shown[len(prompt) : shown.rindex("\n{")]
        if kind in ("chars", "subwords"):
            assert written == printable(given["text"], newlines=True)
        else:
            assert written.strip() == given["text"].strip()
        if kind == "words":
            for mark in (" ,", " !", " )", "( ", " ：", "： "):
                assert mark not in shown


def test_another_text_is_read_by_the_runs_tokenizer(rrnn, train, raw):
    train("--tokens", "words")
    other = Path("other")
    other.mkdir()
    for split in ("train", "valid", "test"):
        (other / f"{split}.txt").write_text("The stream, the mill; the zebra.\n", encoding="utf-8")
    answer = rrnn("test", "run", "--data", other, "--json")
    assert answer.json["tokens"] == 10
    assert "note: 4 of the 20 tokens read (test, valid) are unknown to the model" in answer.err
    scored = rrnn("score", "run", other / "test.txt")
    assert "zebra  (unknown to the model" in scored.out
    note = rrnn("generate", "run", "--prompt", "The zebra,", "--words", 1).err
    assert note == "note: the prompt: words not in the vocabulary are read as <unk>: 'zebra'\n"


def test_a_text_with_another_tokenizer_is_another_text(rrnn, train, raw):
    train("--tokens", "words")
    assert rrnn("data", raw, "--tokens", "blanks", "--name", "blanks").code == 0
    answer = rrnn("train", "--resume", "run", "--max-steps", 6, "--data", "texts/blanks")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "has another vocabulary" in answer.err


def test_a_damaged_tokenizer_is_named(rrnn, train):
    train()
    path = Run("runs/run").tokenizer_path
    path.write_bytes(path.read_bytes()[:100])
    for words in (("test", "run"), ("generate", "run"), ("score", "run", "texts/raw/test.txt")):
        answer = rrnn(*words)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "runs/run/tokenizer.json: is not a tokenizer" in answer.err


def test_the_folder_is_counted_as_it_was_prepared(rrnn, raw):
    first = rrnn("data", raw, "--tokens", "subwords", "--vocabulary-size", 300, "--json")
    again = rrnn("data", "texts/raw", "--json")
    for name in ("tokens", "vocabulary"):
        assert again.json[name] == first.json[name]
    assert " words, " in again.out


def test_where_it_is_written(rrnn, raw):
    assert rrnn("data", raw / "a.md", "--json").json["folder"] == "texts/a"
    assert rrnn("data", raw, "--name", "mine", "--json").json["folder"] == "texts/mine"
    assert rrnn("data", raw, "--output", "deep/er", "--json").json["folder"] == "deep/er"
    assert (Path("deep/er") / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pydoc", "--tokens", "chars"), "--tokens: has no effect on pydoc"),
        (("raw", "--split", "90/5"), "--split: must be three numbers above 0"),
        (("raw", "--min-count", "0"), "--min-count: must be at least 1, got 0"),
        (("raw", "--name", "a/b"), "--name: must be a plain name"),
        (("raw", "--name", ".."), "--name: must be a plain name"),
        (("raw", "--output", "."), ".: is no name for a new folder"),
        (("raw", "--output", "/"), "/: is no name for a new folder"),
        (("raw", "--name", "a", "--output", "b"), "--name: must be a plain name, without --output"),
        (("nowhere.txt",), "nowhere.txt: not found"),
        (("", "--name", "a"), "'': not found"),
    ],
)
def test_mistakes(rrnn, raw, words, message):
    answer = rrnn("data", *words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    assert not Path("texts").exists() or not list(Path("texts").iterdir())


def test_training_on_a_raw_text_names_the_command(rrnn, raw):
    for data in (raw, raw / "a.md"):
        answer = rrnn("train", "language-modeling", "--data", data)
        assert answer.code == 2
        assert f"rrnn data {data}" in answer.err


def test_words_unknown_to_a_text_without_unk(rrnn, text):
    for split in ("train", "test"):
        path = text / f"{split}.txt"
        content = path.read_text(encoding="utf-8").replace("<unk>", "cat")
        path.write_text(content + "\n" * (split == "train"), encoding="utf-8")
    (text / "valid.txt").write_text("the zebra sat\n" * 50, encoding="utf-8")
    answer = rrnn("data", text)
    assert answer.code == 2
    remedy = f"rrnn data {text} --tokens words"
    assert remedy in answer.err
    prepared = rrnn(*remedy.split()[1:], "--json")
    assert prepared.code == 0
    assert prepared.json["unknown"]["valid"] == 50


def test_files_that_are_no_text_are_noted(rrnn, raw):
    (raw / "picture.png").write_bytes(b"\xff\xfe")
    answer = rrnn("data", raw, "--json")
    assert answer.code == 0
    assert answer.err.startswith("note: 1 file left out: ")
    assert answer.json["left_out"] == 1


def test_a_demo_on_a_raw_file(rrnn, raw):
    answer = rrnn("demo", "--data", raw / "a.md", "--max-steps", 1, "--json")
    assert answer.code == 0, answer.err
    rows = answer.json["runs"]
    assert rows[0]["parameters"] == pytest.approx(rows[1]["parameters"], rel=0.02)
    tokenizer = json.loads(Path("texts/a-demo/tokenizer.json").read_text(encoding="utf-8"))
    assert len(tokenizer["model"]["vocab"]) <= 3_000


def test_a_demo_reads_the_beginning_of_a_long_text(rrnn, raw, monkeypatch):
    monkeypatch.setattr("relational_rnn.cli.demo.CHARACTERS", 5_000)
    answer = rrnn("demo", "--data", raw, "--max-steps", 1)
    assert answer.code == 0
    assert answer.err == "note: the demo reads the first 5,000 characters\n"
    size = sum(path.stat().st_size for path in Path("texts/raw-demo").glob("*.txt"))
    assert 4_000 < size < 8_000
