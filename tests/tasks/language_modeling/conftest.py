"""A small text on disk."""

from pathlib import Path

import pytest

TEXT = {
    "train": "the cat sat\n\nthe dog <unk> the\n",
    "valid": "the dog sat\n",
    "test": "the bird sat\nthe end",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.mkdir()
    for split, text in TEXT.items():
        (path / f"{split}.txt").write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
