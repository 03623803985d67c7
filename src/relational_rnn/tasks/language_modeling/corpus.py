"""A text ready for a model: its words, and its ids."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from . import token_files
from .sources import find_source
from .vocabulary import Vocabulary


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
    cache = Path(cache_dir or os.environ.get("RRNN_CACHE") or user_cache_path("relational-rnn"))
    text = find_source(source, cache=cache)
    folder = cache / "corpora" / f"{text.name}-{text.digest[:16]}-{token_files.FORMAT}"
    vocabulary, tokens = token_files.read(folder) or token_files.prepare(text, folder)
    return Corpus(source, vocabulary, tokens)
