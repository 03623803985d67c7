"""A text prepared for a model: its vocabulary, and its ids in memory-mapped files.

A text is encoded once. The files lie in a cache folder, under the hash of the text:

- ``train.bin``, ``valid.bin``, ``test.bin``: ids, little-endian uint16 or uint32;
- ``vocabulary.json``: the words;
- ``manifest.json``: dtype, number of tokens, and hashes.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ...errors import UserError
from ...files import replacing, write_text
from ...progress import progress
from .sources import Source, find_source
from .tokenization import SPLITS, UNKNOWN, Split, tokenize
from .vocabulary import Vocabulary

FORMAT = 1  # part of the folder's name; increment it when the files change
FILES = (*(f"{split}.bin" for split in SPLITS), "vocabulary.json", "manifest.json")

Tokens = dict[Split, np.memmap[Any, np.dtype[np.unsignedinteger[Any]]]]


@dataclass(frozen=True)
class Corpus:
    """A prepared text.

    Attributes:
        name: the name or folder the user gave.
        vocabulary: the words of the training split.
        tokens: ids ``[tokens]`` of each split, uint16 or uint32, memory-mapped read-only: pages
            that are not accessed take no memory.
    """

    name: str
    vocabulary: Vocabulary
    tokens: Tokens

    @property
    def counts(self) -> dict[str, int]:
        """Number of tokens of each split."""
        return {split: len(ids) for split, ids in self.tokens.items()}

    def summary(self) -> dict[str, Any]:
        """The JSON result of ``rrnn data``."""
        return {"vocabulary": len(self.vocabulary), "tokens": self.counts}


def open_corpus(source: str, *, cache_dir: Path | str | None = None) -> Corpus:
    """Open a text by name or folder; it is prepared on first use, which may take a while.

    Prepared files are found by the hash of the text. A changed text is therefore prepared again,
    without affecting a program that still reads the old one. The cache can be deleted at any time.

    Args:
        source: ``pydoc``, ``wikitext-2``, ``wikitext-103``, or a folder with ``train.txt``,
            ``valid.txt`` and ``test.txt`` (or ``wiki.train.tokens`` etc.).
        cache_dir: the cache folder; default: ``RRNN_CACHE``, else the platform's cache folder.

    Raises:
        UserError: there is no such text, it cannot be used (missing, empty, not UTF-8, unknown
            words without ``<unk>``), or the cache cannot be written.
    """
    text, folder = _find(source, cache_dir)
    vocabulary, tokens = read_prepared(folder) or prepare(text, folder)
    return Corpus(source, vocabulary, tokens)


class Encoded(NamedTuple):
    """Splits of a text, encoded with a given vocabulary."""

    tokens: dict[Split, NDArray[np.integer[Any]]]  # ids [tokens] of each split
    unknown: int  # tokens in all splits that were not in the vocabulary


def encode_corpus(
    source: str,
    vocabulary: Vocabulary,
    splits: Iterable[Split],
    *,
    cache_dir: Path | str | None = None,
) -> Encoded:
    """Encode splits of a text with the vocabulary of a model that was trained on another text.

    A text already prepared with this vocabulary is opened as by :func:`open_corpus`, with
    ``unknown`` 0. Any other text is encoded from its source; its own vocabulary is not used.

    Raises:
        UserError: as :func:`open_corpus`; also if words are not in a vocabulary without ``<unk>``.
    """
    text, folder = _find(source, cache_dir)
    prepared = read_prepared(folder)
    if prepared is not None and prepared[0].digest == vocabulary.digest:
        return Encoded({split: prepared[1][split] for split in splits}, 0)
    splits = list(splits)
    tokens: dict[Split, NDArray[np.integer[Any]]] = {}
    unknown = 0
    with _reading(text, splits, "encoding") as words:
        for split in splits:
            parts = [np.zeros(0, dtype=np.uint32)]
            for part in words(split):
                ids = vocabulary.encode(part, where=text.where(split)).astype(np.uint32)
                unknown += int((ids == vocabulary.unknown).sum()) - part.count(UNKNOWN)
                parts.append(ids)
            tokens[split] = np.concatenate(parts)
    return Encoded(tokens, unknown)


def read_prepared(folder: Path) -> tuple[Vocabulary, Tokens] | None:
    """Open prepared files, without reading the ids.

    Returns:
        The vocabulary and the ids ``[tokens]`` of each split, uint16 or uint32, mapped read-only;
        None if a file is missing or does not match the manifest.
    """
    with contextlib.suppress(OSError, UserError, ValueError, LookupError, TypeError):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        tokens: Tokens = {
            split: np.memmap(folder / f"{split}.bin", dtype=manifest["dtype"], mode="r")
            for split in SPLITS
        }
        counts = {split: len(ids) for split, ids in tokens.items()}
        if (vocabulary.digest, counts) == (manifest["vocabulary"], manifest["tokens"]):
            return vocabulary, tokens
    return None  # whatever the damage, the files are prepared again


def prepare(source: Source, folder: Path) -> tuple[Vocabulary, Tokens]:
    """Encode a text and open the result.

    The files are written to a private folder and moved when all are complete. Equal texts give
    equal files, so several processes may prepare a text at the same time: a later one finds the
    files in place, or at worst replaces them with equal ones.

    Raises:
        UserError: the text cannot be used (see its source, and :meth:`.Vocabulary.check`), or the
            cache cannot be written.
    """
    private = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        private.mkdir(parents=True)
        _write(source, private)
        if read_prepared(folder) is None:
            folder.mkdir(exist_ok=True)
            for name in FILES:  # the manifest last: without it, the other files are ignored
                os.replace(private / name, folder / name)
        opened = read_prepared(folder)
        if opened is None:
            raise OSError(errno.EIO, "not read back as written")
        return opened
    except OSError as error:
        raise UserError(
            f"{folder.parent}: the prepared text cannot be written: {error.strerror}; free some "
            "space, or set RRNN_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _user_cache() -> Path:
    try:
        return user_cache_path("relational-rnn")
    except RuntimeError as error:  # neither HOME nor an entry in the user database
        raise UserError(
            "the cache: this user has no home folder; set RRNN_CACHE to a folder"
        ) from error


def _find(source: str, cache_dir: Path | str | None) -> tuple[Source, Path]:
    """A text, and the folder of its prepared files."""
    cache = Path(cache_dir or os.environ.get("RRNN_CACHE") or _user_cache())
    text = find_source(source, cache=cache)
    return text, cache / "corpora" / f"{text.name}-{text.digest[:16]}-{FORMAT}"


def _write(source: Source, folder: Path) -> None:
    """Write the files of a text, holding only a piece of it in memory.

    The training split is read twice: to count words and to encode them.
    """
    with _reading(source, ["train"], "counting words") as words:
        vocabulary = Vocabulary.of(words("train"))
    if len(vocabulary) < 2:
        raise UserError(f"{source.where('train')}: holds no words, only blank lines")
    with _reading(source, SPLITS[1:], "checking words") as words:
        for split in SPLITS[1:]:
            vocabulary.check(words(split), where=source.where(split))
    dtype = np.dtype("<u2" if len(vocabulary) <= 1 << 16 else "<u4")
    counts = {}
    with _reading(source, SPLITS, "encoding") as words:
        for split in SPLITS:
            where = source.where(split)
            ids = (vocabulary.encode(part, where=where) for part in words(split))
            counts[split] = _write_ids(ids, folder / f"{split}.bin", dtype)
    vocabulary.save(folder / "vocabulary.json")
    manifest = {
        "format": FORMAT,
        "source": {"name": source.name, "sha256": source.digest},
        "dtype": dtype.str,
        "vocabulary": vocabulary.digest,
        "tokens": counts,
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")


@contextlib.contextmanager
def _reading(
    source: Source, splits: Sequence[Split], title: str
) -> Iterator[Callable[[Split], Iterator[list[str]]]]:
    """Show the progress of reading ``splits``; yield a function that reads the words of one."""
    total = sum(source.size(split) for split in splits)
    with progress(f"{source.name}: {title}", total, unit="characters") as advance:

        def pieces(split: Split) -> Iterator[str]:
            for piece in source.text(split):
                yield piece
                advance(len(piece))

        yield lambda split: tokenize(pieces(split))


def _write_ids(parts: Iterable[NDArray[np.int64]], path: Path, dtype: np.dtype[Any]) -> int:
    count = 0
    with replacing(path) as file:
        for ids in parts:
            file.write(ids.astype(dtype).data)
            count += len(ids)
    return count
