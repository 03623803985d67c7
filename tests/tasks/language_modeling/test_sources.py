import hashlib
import os
import time

import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import sources as module
from relational_rnn.tasks.language_modeling.sources import Folder, find_source, read


@pytest.fixture
def wait(monkeypatch):
    """Let a minute pass: files written until now are old enough to be trusted."""

    def pass_by():
        now = time.time_ns() + 60_000_000_000
        monkeypatch.setattr(module.time, "time_ns", lambda: now)

    return pass_by


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
    os.utime(folder / "train.txt", (1, 1))
    assert Folder(folder, stamps=cache).digest == before
    (folder / "train.txt").write_text("the cat sit\n\nthe dog <unk> the\n", encoding="utf-8")
    assert Folder(folder, stamps=cache).digest != before


def test_a_file_is_hashed_once_until_it_changes(folder, cache, monkeypatch, wait):
    hashed = []

    def count(file, algorithm):
        hashed.append(os.path.basename(file.name))
        return digest(file, algorithm)

    digest = hashlib.file_digest
    monkeypatch.setattr(module.hashlib, "file_digest", count)
    names = ["train.txt", "valid.txt", "test.txt"]
    first = Folder(folder, stamps=cache).digest
    assert Folder(folder, stamps=cache).digest == first
    assert hashed == 2 * names  # too young to be trusted
    wait()
    assert Folder(folder, stamps=cache).digest == first
    assert Folder(folder, stamps=cache).digest == first
    assert hashed[6:] == names
    os.utime(folder / "train.txt", (1, 1))
    assert Folder(folder, stamps=cache).digest == first
    assert hashed[9:] == ["train.txt"]


def rewrite(path, text, status):
    path.write_text(text, encoding="utf-8")


def replace(path, text, status):
    other = path.with_name("other")
    other.write_text(text, encoding="utf-8")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)


@pytest.mark.parametrize("edit", [rewrite, replace], ids=["in place", "another file"])
def test_a_changed_text_of_the_same_size_and_time_is_noticed(folder, cache, wait, edit):
    wait()
    before = Folder(folder, stamps=cache).digest
    path = folder / "train.txt"
    status = path.stat()
    edit(path, path.read_text(encoding="utf-8").replace("cat", "cow"), status)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # touch -r
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert Folder(folder, stamps=cache).digest != before


@pytest.mark.parametrize("damage", [lambda stored: stored[:-1], lambda stored: stored[:-1] + "\0"])
def test_a_damaged_stamp_is_not_used(folder, cache, wait, damage):
    wait()
    before = Folder(folder, stamps=cache).digest
    for stamp in cache.iterdir():
        stamp.write_text(damage(stamp.read_text(encoding="utf-8")), encoding="utf-8")
    assert Folder(folder, stamps=cache).digest == before


def test_a_file_that_changes_after_it_was_hashed_is_refused(folder, cache):
    source = Folder(folder, stamps=cache)
    assert source.digest
    path = folder / "valid.txt"
    path.write_text("the cat sat\n", encoding="utf-8")
    assert "".join(source.text("train")).startswith("the cat")
    with pytest.raises(UserError, match=r"valid\.txt: changed while it was read; try again"):
        list(source.text("valid"))


def test_hashes_need_not_be_remembered(folder, tmp_path, wait):
    wait()
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
