import hashlib
import sys
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import open_corpus, wikitext
from relational_rnn.tasks.language_modeling.wikitext import PARTS, Part, WikiText

from .conftest import TEXT

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def rows(text):
    """Lines as the hub's files hold them: a blank one is "", others keep blanks and line end."""
    return ["" if not line.strip() else f" {line} \n" for line in text.split("\n")]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that serves files of ``tmp_path``; the list of requests is returned."""
    asked = []

    def download(repository, file, *, repo_type, revision):
        asked.append((repository, file, repo_type, revision))
        return str(tmp_path / Path(file).name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return asked


def serve(folder, monkeypatch, lines, *, files=1):
    """Write parquet files of these lines (the training split's several times over)."""
    parts = {}
    for split, held in lines.items():
        name = {"valid": "validation"}.get(split, split)
        count = files if split == "train" else 1
        part = wikitext._part(f"wikitext-2-v1/{name}", len(held) * count, files=count)
        for file in part.files:
            parquet.write_table(pyarrow.table({"text": held}), folder / Path(file).name)
        parts[split] = part
    monkeypatch.setitem(PARTS, "wikitext-2", parts)


def test_a_row_is_a_line(tmp_path, hub, monkeypatch, folder):
    lines = {split: rows(text.removesuffix("\n")) for split, text in TEXT.items()}
    serve(tmp_path, monkeypatch, lines)
    fetched = open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    local = open_corpus(str(folder), cache_dir=tmp_path / "cache")
    assert fetched.vocabulary.words == local.vocabulary.words
    for split in TEXT:
        assert fetched.tokens[split].tolist() == local.tokens[split].tolist()
    assert set(hub) == {
        (
            "Salesforce/wikitext",
            f"wikitext-2-v1/{name}-00000-of-00001.parquet",
            "dataset",
            "b08601e04326c79dfdd32d625aee71d232d685c3",
        )
        for name in ("train", "validation", "test")
    }


def test_several_files_are_read_in_order(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {"train": [" a \n", "", " b \n"]}, files=2)
    text = "".join(WikiText("wikitext-2").text("train"))
    assert text.split("\n") == [" a ", "", " b ", " a ", "", " b ", ""]
    assert [file for _, file, *_ in hub] == [
        "wikitext-2-v1/train-00000-of-00002.parquet",
        "wikitext-2-v1/train-00001-of-00002.parquet",
    ]


def test_the_hub_is_not_asked_for_what_is_prepared(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {split: rows(text) for split, text in TEXT.items()})
    open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    hub.clear()
    open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    assert hub == []


def test_a_wrong_number_of_rows_is_refused(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {"train": ["a"], "valid": ["a"], "test": ["a"]})
    monkeypatch.setitem(PARTS["wikitext-2"], "train", Part(PARTS["wikitext-2"]["train"].files, 7))
    with pytest.raises(UserError, match=r"00001\.parquet: damaged \(1 rows instead of 7\); delete"):
        open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache" / "corpora").iterdir()) == []


def test_a_truncated_download_is_refused(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {"train": ["a"] * 100})
    file = tmp_path / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet: damaged \("):
        list(WikiText("wikitext-2").text("train"))


def test_a_wrong_number_of_tokens_is_refused(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {"train": ["a b <unk>"], "valid": ["a"], "test": ["b"]})
    files = PARTS["wikitext-2"]["valid"].files
    monkeypatch.setitem(PARTS["wikitext-2"], "valid", Part(files, 1, tokens=3))
    with pytest.raises(UserError) as caught:
        open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    assert str(caught.value) == (
        "wikitext-2 (valid): has 2 tokens instead of the published 3; delete the download and try "
        "again"
    )
    assert list((tmp_path / "cache" / "corpora").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the hub's cache has links elsewhere only")
def test_a_download_is_compared_with_the_digest_in_the_hubs_cache(tmp_path, hub, monkeypatch):
    serve(tmp_path, monkeypatch, {"train": ["a b"], "valid": ["a"], "test": ["b"]})
    link = tmp_path / "train-00000-of-00001.parquet"
    content = link.read_bytes()
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    link.rename(blob)
    link.symlink_to(blob)
    assert open_corpus("wikitext-2", cache_dir=tmp_path / "cache").counts["train"] == 3
    other = content.replace(b"a b", b"a c")
    assert other != content
    blob.write_bytes(other)
    with pytest.raises(UserError, match=r"00001\.parquet: damaged \(its SHA-256 is not .*; delete"):
        list(WikiText("wikitext-2").text("train"))


def test_offline_and_not_cached(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise LocalEntryNotFoundError("no traffic\nallowed")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(UserError) as caught:
        open_corpus("wikitext-2", cache_dir=tmp_path)
    assert str(caught.value) == (
        "wikitext-2: wikitext-2-v1/train-00000-of-00001.parquet is not in the cache and cannot be "
        "downloaded (LocalEntryNotFoundError); connect to the internet once, or pass --data FOLDER "
        "with train.txt, valid.txt and test.txt"
    )


def test_prepared_files_that_are_damaged_and_no_hub(tmp_path, hub, monkeypatch):
    def offline(*_, **__):
        raise LocalEntryNotFoundError("no traffic allowed")

    serve(tmp_path, monkeypatch, {split: rows(text) for split, text in TEXT.items()})
    open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    (folder,) = (tmp_path / "cache" / "corpora").iterdir()
    ids = (folder / "train.bin").read_bytes()
    other = tmp_path / "other"
    other.write_bytes(ids[2:] + ids[:2])
    other.replace(folder / "train.bin")
    with pytest.raises(UserError) as caught:
        open_corpus("wikitext-2", cache_dir=tmp_path / "cache")
    assert str(caught.value).startswith(
        f"{folder}: damaged, and not prepared again: wikitext-2: wikitext-2-v1/train"
    )


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError) as caught:
        open_corpus("wikitext-103", cache_dir=tmp_path)
    assert str(caught.value) == (
        "wikitext-103: reading it needs pyarrow, which is not installed; run: "
        "pip install pyarrow, or pass --data FOLDER with train.txt, valid.txt and "
        "test.txt"
    )


def test_published_files():
    assert list(PARTS["wikitext-103"]["train"].files) == [
        "wikitext-103-v1/train-00000-of-00002.parquet",
        "wikitext-103-v1/train-00001-of-00002.parquet",
    ]
    assert PARTS["wikitext-2"]["train"].rows == 36_718
    assert [part.tokens for part in PARTS["wikitext-2"].values()] == [2_088_628, 217_646, 245_569]
