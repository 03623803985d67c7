"""A raw text is split and written; nothing of it is lost, and nothing is overwritten."""

import io
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import open_corpus, raw_text
from relational_rnn.tasks.language_modeling.private_folder import remove_abandoned
from relational_rnn.tasks.language_modeling.raw_text import Shares, deal, write_text_folder
from relational_rnn.tasks.language_modeling.tokenization import SPLITS
from relational_rnn.tasks.language_modeling.tokenizer_training import TokenizerConfig

from .raw_texts import ODD, TEXTS

CONFIG = TokenizerConfig(min_count=1)


@pytest.fixture
def write(tmp_path):
    def call(source, config=CONFIG, output="out", **options):
        return write_text_folder(str(source), tmp_path / output, config, **options)

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text("".join(f"line {number}\n" for number in range(1000)), encoding="utf-8")
    return path


def parts(folder):
    return {split: (folder / f"{split}.txt").read_text(encoding="utf-8") for split in SPLITS}


@pytest.mark.parametrize("kind", ["words", "chars", "subwords", "blanks"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_real_text_is_ready_for_training(write, tmp_path, cache, text, kind):
    source = tmp_path / "raw.txt"
    source.write_text(TEXTS[text]()[:100_000], encoding="utf-8")
    folder = write(source, TokenizerConfig(tokens=kind, vocabulary_size=2_000)).folder
    corpus = open_corpus(str(folder), cache_dir=cache)
    assert len(corpus.vocabulary) <= 2_000
    size = sum(map(len, parts(folder).values()))
    for split, content in parts(folder).items():
        assert corpus.counts[split] >= 2
        assert len(content) / size == pytest.approx(0.9 if split == "train" else 0.05, abs=0.03)
        if kind in ("chars", "subwords"):
            assert corpus.unknown[split] == 0
            assert corpus.sizes[split].characters == len(content)
            words = corpus.vocabulary.decode(corpus.tokens[split])
            assert "".join(corpus.vocabulary.tokenizer.as_text(words)) == content
    lines = Counter(source.read_text(encoding="utf-8").splitlines())
    assert Counter("".join(parts(folder).values()).splitlines()) == lines
    again = open_corpus(str(folder), cache_dir=cache)
    assert (again.sizes, again.digest) == (corpus.sizes, corpus.digest)


def test_odd_texts_survive(write, tmp_path, cache):
    source = tmp_path / "odd.txt"
    lines = [f"{number} {line}" for number in range(3) for line in ODD]
    source.write_bytes(("\ufeff" + "\n".join(lines)).encode() + b"\rlone\rreturns\r\n")
    folder = write(source, TokenizerConfig(tokens="subwords")).folder
    written = "".join(parts(folder).values()).replace("\n", "")
    assert Counter(written) == Counter("".join(lines) + "lonereturns")
    assert open_corpus(str(folder), cache_dir=cache).counts["test"] > 1


def test_blocks_of_lines_stay_in_order(write, file):
    found = parts(write(file).folder)
    numbers = {
        split: [int(line[5:]) for line in text.splitlines()] for split, text in found.items()
    }
    assert sorted(chain.from_iterable(numbers.values())) == list(range(1000))
    for split, own in numbers.items():
        assert own == sorted(own)
        assert len(own) == pytest.approx(900 if split == "train" else 50, abs=10)


def test_the_seed_decides(write, file):
    first, again, other = (
        parts(write(file, output=f"out-{number}", seed=seed).folder)
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again != other


def test_a_negative_seed_is_refused(write, file, tmp_path):
    with pytest.raises(UserError, match=r"^--seed: must be at least 0, got -1$"):
        write(file, seed=-1)
    assert not (tmp_path / "out").exists()


def test_many_files_are_split_as_whole_files(write, tmp_path):
    source = tmp_path / "files"
    (source / "deep/er").mkdir(parents=True)
    for number in range(40):
        where = source if number % 2 else source / "deep/er"
        (where / f"{number}.txt").write_text(f"{number} a\n{number} b", encoding="utf-8")
    written = write(source)
    seen = {split: set(text.split()) - {"a", "b"} for split, text in parts(written.folder).items()}
    assert written.files == 40
    assert {split: len(own) for split, own in seen.items()} == {"train": 36, "valid": 2, "test": 2}
    assert len(set().union(*seen.values())) == 40


def test_what_is_not_text_is_left_out(write, tmp_path):
    source = tmp_path / "files"
    for name in ("a.txt", ".hidden", "__pycache__/b.pyc", ".git/c", "d.py", "empty.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        text = "" if name == "empty.txt" else f"{name}\n" * 20
        (source / name).write_text(text, encoding="utf-8")
    (source / "picture.png").write_bytes(b"text\n" * 9 + b"\xff\xfe")
    write(source, output="files/texts/earlier")  # a prepared text is not part of the next one
    written = write(source)
    (message,) = written.left_out
    assert "picture.png: is not UTF-8" in message
    assert set("".join(parts(written.folder).values()).split()) == {"a.txt", "d.py"}


def test_files_for_each_split(write, folder, cache):
    expected = parts(folder)
    assert parts(write(folder).folder) == expected
    corpus = open_corpus(str(write(folder).folder), cache_dir=cache)
    assert corpus.unknown == {"train": 1, "valid": 0, "test": 2}  # bird, end
    with pytest.raises(UserError, match=r"--split: has no effect on .*, which has three files"):
        write(folder, output="other", shares=Shares())


def test_the_standard_input(write, monkeypatch, file):
    class Input:
        buffer = io.BytesIO(file.read_bytes())

    monkeypatch.setattr(raw_text.sys, "stdin", Input)
    assert parts(write("-").folder) == parts(write(file, output="other").folder)
    Input.buffer = io.BytesIO(b"text\n\xff")
    with pytest.raises(UserError, match=r"^-: is not UTF-8: byte 0xff at offset 5 "):
        write("-", output="third")
    monkeypatch.setattr(raw_text.sys, "stdin", None)
    with pytest.raises(UserError, match="there is no standard input"):
        write("-", output="third")


def test_only_the_beginning(write, file):
    written = write(file, characters=600)
    assert written.cut
    text = "".join(parts(written.folder).values())
    assert Counter(text) == Counter(file.read_text(encoding="utf-8")[:600] + "\n")
    assert not write(file, output="other", characters=10**6).cut


@pytest.mark.parametrize("blanks", [True, False])
def test_a_single_line_is_cut(write, tmp_path, blanks):
    source = tmp_path / "line.txt"
    text = "".join(random.Random(1).choices("abcdefg  " if blanks else "abcdefg", k=200_000))
    source.write_text(text, encoding="utf-8")
    found = parts(write(source).folder)
    assert Counter("".join(found.values()).replace("\n", "")) == Counter(text)
    assert all(len(own) > 5_000 for own in found.values())
    if blanks:
        assert Counter(" ".join(found.values()).split()) == Counter(text.split())


def test_the_same_folder_again(write, file, tmp_path):
    first = write(file)
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert write(file).folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    with pytest.raises(UserError, match="out: exists already with other content"):
        write(file, TokenizerConfig(tokens="chars"))
    with pytest.raises(UserError, match=r"my\.txt: exists already"):
        write(file, output="my.txt")
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"my.txt", "out"}


def test_a_folder_of_the_users_is_kept(write, file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/novel.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists already with other content"):
        write(file)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["novel.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not found; give a file or a folder"),
        (b"", "holds no text in UTF-8"),
        (b"one line\nand another", "too short to be split"),
        (b"\n" * 100, "the training text holds no words"),
        (b"caf\xe9\n" * 100, "is not UTF-8: byte 0xe9 at offset 3"),
    ],
    ids=["missing", "empty", "short", "blank", "latin-1"],
)
def test_texts_that_cannot_be_used(write, tmp_path, content, message):
    source = tmp_path / "my.txt"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(UserError, match=message):
        write(source)
    assert not (tmp_path / "out").exists()


def test_folders_without_text(write, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none: has no files"):
        write(tmp_path / "none")
    for number in range(2):
        (tmp_path / f"none/{number}.bin").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="none: holds no text in UTF-8"):
        write(tmp_path / "none")


def test_dealing():
    assert Counter(deal([1] * 100, Shares(), 0, where="x")) == {"train": 90, "valid": 5, "test": 5}
    assert Counter(deal([1] * 10, Shares(8, 1, 1), 0, where="x")) == {
        "train": 8, "valid": 1, "test": 1,
    }  # fmt: skip
    dealt = deal([900, 3, 2, 95], Shares(), 0, where="x")
    assert dealt[0] == "train"  # the large one does not fit elsewhere
    assert set(dealt) == set(SPLITS)
    assert sorted(deal([5, 5, 5], Shares(), 3, where="x")) == sorted(SPLITS)


@pytest.mark.parametrize("text", ["90/5", "90/5/5/1", "a/b/c", "90/10/0", "-1/1/1", "inf/1/1", ""])
def test_shares(text):
    with pytest.raises(UserError, match="--split: must be three numbers above 0"):
        Shares.read(text)
    assert Shares.read("8/1/1") == Shares(8, 1, 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf16_without_a_mark_is_not_text(write, tmp_path, encoding):
    source = tmp_path / "text.txt"
    source.write_bytes("the cat sat\non the mat\n".encode(encoding) * 50)
    with pytest.raises(UserError, match=r"text.txt: is not text: byte 0x00 at offset \d "):
        write(source)
    assert not (tmp_path / "texts").exists() or not any((tmp_path / "texts").iterdir())


KILLED = """
import sys, time
from relational_rnn.tasks.language_modeling import raw_text

def wait(*_):
    print("writing", flush=True)
    time.sleep(60)

raw_text.make_tokenizer = wait
from relational_rnn.cli import main
sys.exit(main(["data", sys.argv[1], "--output", sys.argv[2]]))
"""


def test_what_a_killed_process_left_is_removed_by_the_next(write, file, tmp_path):
    output = tmp_path / "texts" / "one"
    command = [sys.executable, "-c", KILLED, str(file), str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        (left,) = output.parent.iterdir()
        os.utime(left / ".writing", (1, 1))
        remove_abandoned(output.parent)
        assert left.exists()  # its process lives
        process.kill()
    others = [output.parent / name for name in (".git", ".a.1.00000000", ".b.c")]
    for other in others:
        other.mkdir()
    write_text_folder(str(file), output, TokenizerConfig())
    assert {*output.parent.iterdir()} == {output, *others}
