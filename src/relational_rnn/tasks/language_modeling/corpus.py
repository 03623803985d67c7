"""A text ready for a model: its words, and its ids."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from . import token_files
from .sources import Source, find_source
from .vocabulary import Vocabulary
from .words import UNKNOWN, Split, words


@dataclass(frozen=True)
class Corpus:
    """A prepared text.

    Attributes:
        name: as the user gave it.
        vocabulary: the words of the training split.
        tokens: each split's ids ``[tokens]``, uint16 or uint32, mapped from files: what is not
            looked at takes no memory.
    """

    name: str
    vocabulary: Vocabulary
    tokens: token_files.Tokens

    @property
    def counts(self) -> dict[str, int]:
        """Number of tokens of each split."""
        return {split: len(ids) for split, ids in self.tokens.items()}

    def summary(self) -> dict[str, Any]:
        """What ``rrnn data`` prints."""
        return {"vocabulary": len(self.vocabulary), "tokens": self.counts}


def open_corpus(source: str, *, cache_dir: Path | str | None = None) -> Corpus:
    """Open a text by name or folder; the first time it is prepared, which takes a while.

    A prepared text is found by the hash of what it was made of, so a changed text is prepared
    anew, and a program that still reads the older one is not disturbed. Nothing in the cache is
    needed: it can be deleted at any time.

    Args:
        source: ``pydoc``, ``wikitext-2``, ``wikitext-103``, or a folder with ``train.txt``,
            ``valid.txt`` and ``test.txt`` (or ``wiki.train.tokens`` and so on).
        cache_dir: the cache; by default ``RRNN_CACHE``, else the platform's cache folder.

    Raises:
        UserError: no such text, or it is not fit to be read (missing, empty, not UTF-8, unknown
            words without ``<unk>``), or the cache cannot be written.
    """
    text, folder = _find(source, cache_dir)
    vocabulary, tokens = token_files.read(folder) or token_files.prepare(text, folder)
    return Corpus(source, vocabulary, tokens)


class Encoded(NamedTuple):
    """Parts of a text in the words of a vocabulary that need not be its own."""

    tokens: dict[Split, NDArray[np.integer[Any]]]  # of each part, [tokens]
    unknown: int  # tokens of all parts that were none of the words


def encode_corpus(
    source: str,
    vocabulary: Vocabulary,
    splits: Iterable[Split],
    *,
    cache_dir: Path | str | None = None,
) -> Encoded:
    """Read parts of a text in the words of a model that was trained on another.

    A text that was prepared with these very words is opened as `open_corpus` does, and `unknown`
    is 0 then: the words of the training text are what the model calls its words. Any other is
    read anew, from the text itself: its own vocabulary plays no part.

    Raises:
        UserError: as `open_corpus`; unknown words matter if this vocabulary has no ``<unk>``.
    """
    text, folder = _find(source, cache_dir)
    prepared = token_files.read(folder)
    if prepared is not None and prepared[0].digest == vocabulary.digest:
        return Encoded({split: prepared[1][split] for split in splits}, 0)
    tokens: dict[Split, NDArray[np.integer[Any]]] = {}
    unknown = 0
    for split in splits:
        parts = [np.zeros(0, dtype=np.uint32)]
        for part in words(text.text(split)):
            ids = vocabulary.encode(part, where=text.where(split)).astype(np.uint32)
            unknown += int((ids == vocabulary.unknown).sum()) - part.count(UNKNOWN)
            parts.append(ids)
        tokens[split] = np.concatenate(parts)
    return Encoded(tokens, unknown)


def _find(source: str, cache_dir: Path | str | None) -> tuple[Source, Path]:
    """A text, and the folder of its prepared files."""
    cache = Path(cache_dir or os.environ.get("RRNN_CACHE") or user_cache_path("relational-rnn"))
    text = find_source(source, cache=cache)
    return text, cache / "corpora" / f"{text.name}-{text.digest[:16]}-{token_files.FORMAT}"
