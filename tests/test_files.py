"""Atomic file writes."""

import errno
import json
import os
import stat

import pytest
import torch

from relational_rnn import files
from relational_rnn.errors import UserError


def test_replaces(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "one")
    files.write_text(path, "zwei ä")
    assert path.read_text(encoding="utf-8") == "zwei ä"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_while_writing_leaves_the_older_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "one")

    def write_half():
        with files.replacing(path) as file:
            file.write(b"half")
            file.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text(encoding="utf-8") == "one"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_under_torch(tmp_path, monkeypatch, size):
    path = tmp_path / "file"
    files.write_text(path, "one")
    monkeypatch.setattr(files, "open", _open_full, raising=False)
    with (
        pytest.raises(UserError, match="file: cannot be saved, the disk is full"),
        files.replacing(path) as file,
    ):
        torch.save({"weight": torch.zeros(size)}, file)
    assert path.read_text(encoding="utf-8") == "one"


def _open_full(path, mode):
    return open("/dev/full", mode)


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be written: Permission denied")],
)
def test_errors_are_reported_in_one_line(tmp_path, monkeypatch, number, message):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (files.write_text, files.append_text):
        with pytest.raises(UserError, match=message):
            write(tmp_path / "file", "text")


def test_links_share_or_copy(tmp_path, monkeypatch):
    source, path = tmp_path / "source", tmp_path / "path"
    source.write_text("new", encoding="utf-8")
    path.write_text("old", encoding="utf-8")
    files.link(source, path)
    assert path.samefile(source)

    def fail(one, other):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fail)
    files.link(source, path)
    assert path.read_text(encoding="utf-8") == "new"
    assert not path.samefile(source)
    assert sorted(os.listdir(tmp_path)) == ["path", "source"]


def test_numbers_that_json_lacks_are_null():
    value = {"a": [float("inf"), 1.5, {"b": float("nan")}], "c": (True, None, "x")}
    assert json.loads(files.as_json(value)) == {
        "a": [None, 1.5, {"b": None}],
        "c": [True, None, "x"],
    }


def test_the_folder_is_synced_after_a_rename(tmp_path, monkeypatch):
    events = []
    replace, fsync = os.replace, os.fsync

    def note_replace(source, path):
        replace(source, path)
        events.append("rename")

    def note_fsync(descriptor):
        fsync(descriptor)
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(os, "fsync", note_fsync)
    files.write_text(tmp_path / "one", "text")
    files.link(tmp_path / "one", tmp_path / "two")
    assert events == ["file", "rename", "folder", "rename", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "folders cannot be synced here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    files.write_text(tmp_path / "one", "text")
    assert (tmp_path / "one").read_text(encoding="utf-8") == "text"


def test_a_link_to_the_same_file_leaves_nothing(tmp_path):
    files.write_text(tmp_path / "one", "text")
    for _ in range(2):
        files.link(tmp_path / "one", tmp_path / "two")
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
