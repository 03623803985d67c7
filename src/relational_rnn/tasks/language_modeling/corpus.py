"""A text prepared for a model: its vocabulary, and its ids in memory-mapped files.

A text is encoded once. The files lie in a cache folder, under the hash of the text:

- ``train.bin``, ``valid.bin``, ``test.bin``: ids, little-endian uint16 or uint32;
- ``vocabulary.json``: the words;
- ``manifest.json``: dtype, number of tokens, and the hashes of the text and of these files; of a
  text in characters or parts of words also the number of words and characters.
"""

import contextlib
import errno
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ...errors import UserError
from ...files import replacing, write_text
from ...progress import progress
from .private_folder import guard_of, private_folder, remove_leftovers
from .sources import Source, find_source
from .text_size import TextSize, measure
from .tokenization import SPLITS, UNKNOWN, WHITESPACE, Split, Tokenizer
from .vocabulary import Vocabulary

FORMAT = 1  # part of the folder's name; increment it when the files change
FILES = (*(f"{split}.bin" for split in SPLITS), "vocabulary.json", "manifest.json")

DTYPES = ("<u2", "<u4")
CHUNK = 1 << 20  # bytes checked at a time, a multiple of the size of an id
DAMAGE = (OSError, UserError, ValueError, LookupError, TypeError, RecursionError)

Tokens = dict[Split, np.memmap[Any, np.dtype[np.unsignedinteger[Any]]]]
Sizes = dict[Split, TextSize]


@dataclass(frozen=True)
class Corpus:
    """A prepared text.

    Attributes:
        name: the name or folder the user gave.
        vocabulary: the words of the training split.
        tokens: ids ``[tokens]`` of each split, uint16 or uint32, memory-mapped read-only: pages
            that are not accessed take no memory.
        sizes: words and characters of each split, if the tokens are characters or parts of words;
            empty otherwise.
        source: what opens the same text from any working folder: an absolute folder, or a name.
        digest: SHA-256 of the text; of a folder, of the contents of its files.
    """

    name: str
    vocabulary: Vocabulary
    tokens: Tokens
    sizes: Sizes
    source: str
    digest: str

    @property
    def counts(self) -> dict[Split, int]:
        """Number of tokens of each split."""
        return {split: len(ids) for split, ids in self.tokens.items()}

    @property
    def unknown(self) -> dict[Split, int]:
        """Number of tokens of each split that are ``<unk>``."""
        unknown = self.vocabulary.unknown
        if unknown is None:
            return dict.fromkeys(self.tokens, 0)
        return {split: int((ids == unknown).sum()) for split, ids in self.tokens.items()}

    def summary(self) -> dict[str, Any]:
        """The JSON result of ``rrnn data``."""
        return {"vocabulary": len(self.vocabulary), "tokens": self.counts}


def open_corpus(source: str, *, cache_dir: Path | str | None = None) -> Corpus:
    """Open a text by name or folder; it is prepared on first use, which may take a while.

    Prepared files are found by the hash of the text. A changed text is therefore prepared again,
    without affecting a program that still reads the old one. The cache can be deleted at any time.

    Args:
        source: ``pydoc``, ``wikitext-2``, ``wikitext-103``, or a folder with ``train.txt``,
            ``valid.txt`` and ``test.txt`` (or ``wiki.train.tokens`` etc.), and perhaps a
            ``tokenizer.json``.
        cache_dir: the cache folder; default: ``RRNN_CACHE``, else the platform's cache folder.

    Raises:
        UserError: there is no such text, it cannot be used (missing, empty, not UTF-8, unknown
            words without ``<unk>``), or the cache cannot be written.
    """
    text, folder = _find(source, cache_dir)
    prepared = read_prepared(folder, text.tokenizer) or prepare(text, folder)
    return Corpus(source, *prepared, text.location, text.digest)


class Encoded(NamedTuple):
    """Splits of a text, encoded with a given vocabulary."""

    tokens: dict[Split, NDArray[np.integer[Any]]]  # ids [tokens] of each split
    unknown: int  # tokens in all splits that were not in the vocabulary
    sizes: Sizes  # as in Corpus
    source: str  # as in Corpus
    digest: str  # as in Corpus


def encode_corpus(
    source: str,
    vocabulary: Vocabulary,
    splits: Iterable[Split],
    *,
    cache_dir: Path | str | None = None,
) -> Encoded:
    """Encode splits of a text with the vocabulary of a model that was trained on another text.

    A text already prepared with this vocabulary is opened as by :func:`open_corpus`, with
    ``unknown`` 0. Any other text is encoded from its source; its own vocabulary and tokenizer are
    not used.

    Raises:
        UserError: as :func:`open_corpus`; also if words are not in a vocabulary without ``<unk>``.
    """
    text, folder = _find(source, cache_dir)
    prepared = read_prepared(folder, text.tokenizer)
    splits = list(splits)
    tokens: dict[Split, NDArray[np.integer[Any]]] = {}
    if prepared is not None and prepared.vocabulary.digest == vocabulary.digest:
        tokens.update({split: prepared.tokens[split] for split in splits})
        return Encoded(tokens, 0, prepared.sizes, text.location, text.digest)
    unknown = 0
    with _reading(text, splits, "encoding", vocabulary.tokenizer) as words:
        for split in splits:
            parts = [np.zeros(0, dtype=np.uint32)]
            for part in words(split):
                ids = vocabulary.encode(part, where=text.where(split)).astype(np.uint32)
                unknown += int((ids == vocabulary.unknown).sum()) - part.count(UNKNOWN)
                parts.append(ids)
            tokens[split] = np.concatenate(parts)
    sizes = _measured(text, splits, vocabulary.tokenizer)
    return Encoded(tokens, unknown, sizes, text.location, text.digest)


class Prepared(NamedTuple):
    """The content of prepared files."""

    vocabulary: Vocabulary
    tokens: Tokens  # ids [tokens] of each split, uint16 or uint32, mapped read-only
    sizes: Sizes  # as in Corpus


def read_prepared(folder: Path, tokenizer: Tokenizer = WHITESPACE) -> Prepared | None:
    """Open prepared files, after checking every byte of them against the manifest.

    Args:
        folder: where they are.
        tokenizer: the tokenizer that the text was prepared with.

    Returns:
        None if a file is missing or does not match the manifest.
    """
    with contextlib.suppress(*DAMAGE):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        vocabulary = Vocabulary.load(folder / "vocabulary.json", tokenizer)
        dtype = np.dtype(manifest["dtype"])
        if vocabulary.digest != manifest["vocabulary"] or dtype.str not in DTYPES:
            return None
        tokens: Tokens = {}
        hashes = {}
        for split in SPLITS:
            with open(folder / f"{split}.bin", "rb") as file:
                hashes[split] = _checked(file, dtype, ids=len(vocabulary))
                tokens[split] = np.memmap(file, dtype=dtype, mode="r")
        if {split: len(ids) for split, ids in tokens.items()} != manifest["tokens"]:
            return None
        if "sha256" not in manifest:  # of an earlier version: complete it
            with contextlib.suppress(OSError, UserError):  # a shared cache may be read-only
                _write_manifest(folder, manifest | {"sha256": hashes})
        elif hashes != manifest["sha256"]:
            return None
        sizes = {split: TextSize(*manifest["sizes"][split]) for split in SPLITS if tokenizer.exact}
        return Prepared(vocabulary, tokens, sizes)
    return None  # whatever the damage, the files are prepared again


def _checked(file: BinaryIO, dtype: np.dtype[Any], *, ids: int) -> str:
    """SHA-256 of a token file.

    Read at every start, which costs 3 ms for WikiText-2 (5 MB) and 0.3 s for WikiText-103 (415 MB).

    Raises:
        ValueError: an id is not below ``ids``, or the last one is cut off.
    """
    digest = hashlib.sha256()
    while part := file.read(CHUNK):
        digest.update(part)
        if np.frombuffer(part, dtype).max() >= ids:
            raise ValueError(f"ids must be below {ids}")
    return digest.hexdigest()


def prepare(source: Source, folder: Path) -> Prepared:
    """Encode a text and open the result.

    The files are written to a private folder and moved when all are complete. Equal texts give
    equal files, so several processes may prepare a text at the same time: a later one finds the
    files in place, or at worst replaces them with equal ones.

    Raises:
        UserError: the text cannot be used (see its source, and :meth:`.Vocabulary.check`), or the
            cache cannot be written.
    """
    try:
        with private_folder(folder, guard=guard_of(folder.parent)) as private:
            _write(source, private)
            if read_prepared(folder, source.tokenizer) is None:
                folder.mkdir(exist_ok=True)
                for name in FILES:  # the manifest last: without it, the other files are ignored
                    os.replace(private / name, folder / name)
        opened = read_prepared(folder, source.tokenizer)
        if opened is None:
            raise OSError(errno.EIO, "not read back as written")
        return opened
    except UserError as error:
        if folder.is_dir():  # it was prepared once, and did not match its manifest
            raise UserError(f"{folder}: damaged, and not prepared again: {error}") from error
        raise
    except OSError as error:
        raise UserError(
            f"{folder.parent}: the prepared text cannot be written: {error.strerror}; free some "
            "space, or set RRNN_CACHE to another folder"
        ) from error


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
    remove_leftovers(cache)
    return text, cache / "corpora" / f"{text.name}-{text.digest[:16]}-{FORMAT}"


def _write(source: Source, folder: Path) -> None:
    """Write the files of a text, holding only a piece of it in memory.

    Without a tokenizer that knows the words, the training split is read twice: to count them and to
    encode them.
    """
    tokenizer = source.tokenizer
    if tokenizer.words is None:
        vocabulary = _count(source)
    else:
        vocabulary = Vocabulary(tokenizer.words, tokenizer)
    with _reading(source, SPLITS[1:], "checking words", tokenizer) as words:
        for split in SPLITS[1:]:
            vocabulary.check(
                words(split),
                where=source.where(split),
                remedy="let <unk> stand for rare words: "
                f"rrnn data {shlex.quote(str(source.location))} --tokens words",
            )
    dtype = np.dtype(DTYPES[len(vocabulary) > 1 << 16])
    counts, hashes = {}, {}
    with _reading(source, SPLITS, "encoding", tokenizer) as words:
        for split in SPLITS:
            where = source.where(split)
            ids = (vocabulary.encode(part, where=where) for part in words(split))
            counts[split], hashes[split] = _write_ids(ids, folder / f"{split}.bin", dtype)
            published = source.tokens(split)
            if published not in (None, counts[split]):
                raise UserError(
                    f"{where}: has {counts[split]:,} tokens instead of the published "
                    f"{published:,}; delete the download and try again"
                )
    vocabulary.save(folder / "vocabulary.json")
    manifest = {
        "format": FORMAT,
        "source": {"name": source.name, "sha256": source.digest},
        "dtype": dtype.str,
        "vocabulary": vocabulary.digest,
        "tokens": counts,
        "sha256": hashes,
        "sizes": _measured(source, SPLITS, tokenizer),
    }
    _write_manifest(folder, manifest)


def _count(source: Source) -> Vocabulary:
    """The words of a training split."""
    with _reading(source, ["train"], "counting words", source.tokenizer) as words:
        vocabulary = Vocabulary.of(words("train"))
    if len(vocabulary) < 2:
        raise UserError(f"{source.where('train')}: holds no words, only blank lines")
    return vocabulary


def _measured(source: Source, splits: Iterable[Split], tokenizer: Tokenizer) -> Sizes:
    """The sizes of splits, if the tokens are characters or parts of words."""
    return {split: measure(source.text(split)) for split in splits if tokenizer.exact}


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")


@contextlib.contextmanager
def _reading(
    source: Source, splits: Sequence[Split], title: str, tokenizer: Tokenizer
) -> Iterator[Callable[[Split], Iterator[list[str]]]]:
    """Show the progress of reading ``splits``; yield a function that reads the words of one."""
    total = sum(source.size(split) for split in splits)
    with progress(f"{source.name}: {title}", total, unit="characters") as advance:

        def pieces(split: Split) -> Iterator[str]:
            for piece in source.text(split):
                yield piece
                advance(len(piece))

        yield lambda split: tokenizer.tokenize(pieces(split))


def _write_ids(
    parts: Iterable[NDArray[np.int64]], path: Path, dtype: np.dtype[Any]
) -> tuple[int, str]:
    """Write a token file; return the number of tokens and the SHA-256 of the file."""
    count, digest = 0, hashlib.sha256()
    with replacing(path) as file:
        for part in parts:
            ids = part.astype(dtype)
            file.write(ids.data)
            digest.update(ids.data)
            count += len(ids)
    return count, digest.hexdigest()
