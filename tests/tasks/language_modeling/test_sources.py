import hashlib
import os
import time

import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import sources as module
from relational_rnn.tasks.language_modeling.sources import Folder, find_source, read


def age(path, seconds=60):
    """Make a file look as if it had been written a while ago."""
    then = time.time_ns() - seconds * 1_000_000_000
    os.utime(path, ns=(then, then))


def test_text_and_place(folder, cache):
    source = Folder(folder, stamps=cache)
    assert "".join(source.text("valid")) == "the dog sat\n"
    assert source.where("valid") == str(folder / "valid.txt")
    assert source.name == "text"


def test_wikitext_file_names(folder, cache):
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").rename(folder / f"wiki.{split}.tokens")
    assert "".join(Folder(folder, stamps=cache).text("valid")) == "the dog sat\n"


def test_line_ends_of_other_systems(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a b\r\nc\r\n")
    assert "".join(read(tmp_path / "a.txt")) == "a b\nc\n"


def test_missing_files_are_named(folder, cache):
    (folder / "valid.txt").unlink()
    (folder / "test.txt").unlink()
    with pytest.raises(UserError, match=r"text: valid\.txt and test\.txt not found; the folder"):
        Folder(folder, stamps=cache)


def test_an_empty_file_is_named(folder, cache):
    (folder / "test.txt").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"test\.txt: is empty; it must hold whitespace-separated words"
    ):
        Folder(folder, stamps=cache)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xff\xfea", "byte 0xff at offset 0 (line 1)"),
        ("é\nab ".encode() + b"\xe9 c\n", "byte 0xe9 at offset 6 (line 2)"),
        (b"a\n" * 2_000_000 + b"b\n\xc3", "byte 0xc3 at offset 4000002 (line 2000002)"),
    ],
    ids=["start", "second line", "cut off, beyond the first piece"],
)
def test_a_file_not_utf8_is_named_with_byte_and_line(tmp_path, content, place):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(read(tmp_path / "train.txt"))
    assert str(caught.value) == (
        f"{tmp_path / 'train.txt'}: is not UTF-8: {place}; save the file as UTF-8"
    )


def test_the_digest_is_that_of_the_contents(folder, cache):
    before = Folder(folder, stamps=cache).digest
    age(folder / "train.txt")
    assert Folder(folder, stamps=cache).digest == before
    (folder / "train.txt").write_text("the cat sit\n\nthe dog <unk> the\n", encoding="utf-8")
    assert Folder(folder, stamps=cache).digest != before


def test_a_file_is_hashed_once_until_it_changes(folder, cache, monkeypatch):
    hashed = []

    def count(file, algorithm):
        hashed.append(os.path.basename(file.name))
        return digest(file, algorithm)

    digest = hashlib.file_digest
    monkeypatch.setattr(module.hashlib, "file_digest", count)
    for name in ("train.txt", "valid.txt"):  # test.txt is too young to be trusted
        age(folder / name)
    first = Folder(folder, stamps=cache).digest
    assert hashed == ["train.txt", "valid.txt", "test.txt"]
    assert Folder(folder, stamps=cache).digest == first
    assert hashed[3:] == ["test.txt"]
    age(folder / "train.txt", seconds=30)
    assert Folder(folder, stamps=cache).digest == first
    assert hashed[4:] == ["train.txt", "test.txt"]


def test_hashes_need_not_be_remembered(folder, tmp_path):
    age(folder / "train.txt")
    (tmp_path / "file").write_bytes(b"")
    unwritable = tmp_path / "file" / "stamps"
    assert Folder(folder, stamps=unwritable).digest == Folder(folder, stamps=tmp_path).digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wikitext2", "did you mean wikitext-2?"),
        ("WikiText-103", "did you mean wikitext-103?"),
        ("pidoc", "did you mean pydoc?"),
        (
            "no/such",
            "no/such: must be a data set (pydoc, wikitext-2, wikitext-103) or a folder",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message, cache):
    with pytest.raises(UserError) as caught:
        find_source(name, cache=cache)
    assert message in str(caught.value)


def test_a_name_wins_over_a_folder(folder, cache, monkeypatch):
    folder.rename(folder.with_name("pydoc"))
    monkeypatch.chdir(folder.parent)
    assert not isinstance(find_source("pydoc", cache=cache), Folder)
    assert isinstance(find_source("./pydoc", cache=cache), Folder)


def test_a_byte_order_mark_is_no_letter(folder, cache):
    path = folder / "train.txt"
    text = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + text)
    assert "".join(Folder(folder, stamps=cache).text("train")) == text.decode()
