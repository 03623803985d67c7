import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import Vocabulary, encode_corpus, open_corpus
from relational_rnn.tasks.language_modeling import corpus as module
from relational_rnn.tasks.language_modeling.tokenization import SPLITS

WAIT_AND_OPEN = """
import sys
from relational_rnn.tasks.language_modeling import open_corpus
print("ready", flush=True)
sys.stdin.readline()
print(open_corpus(sys.argv[1], cache_dir=sys.argv[2]).tokens["train"].sum())
"""


def prepared(cache):
    return sorted(path for path in (cache / "corpora").iterdir())


def test_ids_and_counts(folder, cache):
    corpus = open_corpus(str(folder), cache_dir=cache)
    assert corpus.vocabulary.words == ["the", "<eos>", "cat", "sat", "dog", "<unk>"]
    assert corpus.tokens["train"].tolist() == [0, 2, 3, 1, 1, 0, 4, 5, 0, 1]
    assert corpus.tokens["test"].tolist() == [0, 5, 3, 1, 0, 5, 1]  # bird, end: unknown
    assert corpus.tokens["train"].dtype == np.uint16
    assert corpus.summary() == {"vocabulary": 6, "tokens": {"train": 10, "valid": 4, "test": 7}}


def test_ids_are_mapped_and_cannot_be_changed(folder, cache):
    ids = open_corpus(str(folder), cache_dir=cache).tokens["train"]
    assert isinstance(ids, np.memmap)
    assert not ids.flags.writeable


def test_a_large_vocabulary_takes_uint32(folder, cache):
    text = " ".join(f"w{number}" for number in range(65_536))
    (folder / "train.txt").write_text(text + " <unk>\n", encoding="utf-8")
    corpus = open_corpus(str(folder), cache_dir=cache)
    assert len(corpus.vocabulary) == 65_538
    assert corpus.tokens["train"].dtype == np.uint32
    assert corpus.tokens["train"].max() == 65_537


def test_prepared_once(folder, cache, monkeypatch):
    first = open_corpus(str(folder), cache_dir=cache)
    monkeypatch.setattr(module, "prepare", None)
    again = open_corpus(str(folder), cache_dir=cache)
    assert again.vocabulary.words == first.vocabulary.words
    assert again.tokens["train"].tolist() == first.tokens["train"].tolist()


def test_a_changed_text_is_prepared_anew_and_the_old_one_still_readable(folder, cache):
    old = open_corpus(str(folder), cache_dir=cache)
    (folder / "valid.txt").write_text("the cat sat\n", encoding="utf-8")  # of the same size
    new = open_corpus(str(folder), cache_dir=cache)
    assert new.vocabulary.decode(new.tokens["valid"]) == ["the", "cat", "sat", "<eos>"]
    assert old.vocabulary.decode(old.tokens["valid"]) == ["the", "dog", "sat", "<eos>"]
    assert len(prepared(cache)) == 2


def test_the_cache_folder_is_named_by_argument_or_environment(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RRNN_CACHE", str(tmp_path / "environment"))
    open_corpus(str(folder))
    assert len(prepared(tmp_path / "environment")) == 1
    open_corpus(str(folder), cache_dir=tmp_path / "argument")
    assert len(prepared(tmp_path / "argument")) == 1


def test_a_text_knows_where_it_is_and_what_it_holds(folder, cache, monkeypatch):
    monkeypatch.chdir(folder.parent)
    first = open_corpus("text", cache_dir=cache)
    assert first.source == str(folder)
    encoded = encode_corpus("./text/", first.vocabulary, ["test"], cache_dir=cache)
    assert (encoded.source, encoded.digest) == (first.source, first.digest)
    other = encode_corpus("text", Vocabulary(["<eos>", "<unk>"]), ["test"], cache_dir=cache)
    assert (other.source, other.digest) == (first.source, first.digest)
    copy = folder.rename(folder.with_name("copy"))
    moved = open_corpus(str(copy), cache_dir=cache)
    assert (moved.source, moved.digest) == (str(copy), first.digest)
    (copy / "train.txt").write_text("sat cat the\n\nthe dog <unk> the\n", encoding="utf-8")
    assert open_corpus("copy", cache_dir=cache).digest != first.digest
    assert open_corpus("pydoc", cache_dir=cache).source == "pydoc"


def test_the_manifest(folder, cache):
    open_corpus(str(folder), cache_dir=cache)
    (path,) = prepared(cache)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["format"] == module.FORMAT
    assert manifest["tokens"] == {"train": 10, "valid": 4, "test": 7}
    assert manifest["source"]["sha256"][:16] in path.name
    assert sorted(file.name for file in path.iterdir()) == sorted(module.FILES)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize("name", module.FILES)
@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[]"),
    ],
    ids=["truncated", "missing", "empty", "other"],
)
def test_a_damaged_file_is_prepared_anew(folder, cache, name, damage):
    good = open_corpus(str(folder), cache_dir=cache)
    (path,) = prepared(cache)
    content = (path / name).read_bytes()
    copy = path / "copy"
    copy.write_bytes(content)
    os.replace(copy, path / name)  # damage a file of its own, not the one that is mapped
    damage(path / name)
    corpus = open_corpus(str(folder), cache_dir=cache)
    assert (path / name).read_bytes() == content
    for split in SPLITS:
        assert corpus.tokens[split].tolist() == good.tokens[split].tolist()


def test_another_vocabulary_among_the_files_is_noticed(folder, cache):
    words = open_corpus(str(folder), cache_dir=cache).vocabulary.words
    (path,) = prepared(cache)
    Vocabulary(reversed(words)).save(path / "vocabulary.json")
    assert open_corpus(str(folder), cache_dir=cache).vocabulary.words == words


def test_processes_may_prepare_at_once(folder, cache):
    (folder / "train.txt").write_text("the cat sat on the mat\n" * 20_000, encoding="utf-8")
    (folder / "valid.txt").write_text("the cat\n", encoding="utf-8")
    (folder / "test.txt").write_text("the mat\n", encoding="utf-8")
    command = [sys.executable, "-c", WAIT_AND_OPEN, str(folder), str(cache)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(3)]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    found = {worker.communicate(timeout=60)[0] for worker in workers}
    corpus = open_corpus(str(folder), cache_dir=cache)
    assert found == {f"{corpus.tokens['train'].sum()}\n"}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(prepared(cache)) == 1


def test_who_comes_second_uses_what_is_there(folder, cache, monkeypatch):
    def write_late(source, private):
        write(source, private)
        monkeypatch.setattr(module, "_write", write)
        open_corpus(str(folder), cache_dir=cache)  # another process, faster
        monkeypatch.setattr(module.os, "replace", None)  # nothing is moved any more

    write = module._write
    monkeypatch.setattr(module, "_write", write_late)
    assert open_corpus(str(folder), cache_dir=cache).counts["train"] == 10
    assert len(prepared(cache)) == 1


def test_a_text_that_is_not_fit_leaves_nothing_behind(folder, cache):
    (folder / "train.txt").write_text("the cat sat\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"valid\.txt: 1 tokens .* no <unk>: 'dog';"):
        open_corpus(str(folder), cache_dir=cache)
    (folder / "test.txt").write_bytes(b"the\xff")
    (folder / "valid.txt").write_bytes(b"the")
    with pytest.raises(UserError, match="offset 3"):
        open_corpus(str(folder), cache_dir=cache)
    assert prepared(cache) == []


def test_unknown_words_are_counted_over_the_whole_file(folder, cache, monkeypatch):
    monkeypatch.setattr("relational_rnn.tasks.language_modeling.sources.PIECE", 4)
    (folder / "train.txt").write_text("the dog sat\n", encoding="utf-8")
    (folder / "test.txt").write_text("a the b\nthe b c\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"test\.txt: 4 tokens \(3 distinct words\).*'a', 'b', 'c'"):
        open_corpus(str(folder), cache_dir=cache)


def test_a_training_text_of_blank_lines(folder, cache):
    (folder / "train.txt").write_text("\n \n\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.txt: holds no words, only blank lines"):
        open_corpus(str(folder), cache_dir=cache)


def test_a_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot be written: Not a directory; .* RRNN_CACHE"):
        open_corpus(str(folder), cache_dir=tmp_path / "file")


def test_the_built_in_corpus(cache):
    corpus = open_corpus("pydoc", cache_dir=cache)
    assert corpus.counts["train"] > 80_000
    assert corpus.vocabulary.unknown is not None


@pytest.mark.skipif("RRNN_WIKITEXT2" not in os.environ, reason="RRNN_WIKITEXT2 names no folder")
def test_wikitext_2_has_the_published_counts(cache):
    assert open_corpus(os.environ["RRNN_WIKITEXT2"], cache_dir=cache).summary() == {
        "vocabulary": 33_278,
        "tokens": {"train": 2_088_628, "valid": 217_646, "test": 245_569},
    }
