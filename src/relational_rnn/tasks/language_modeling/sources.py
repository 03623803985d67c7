"""Sources of texts: a data set by name, or the user's own folder with three files."""

import contextlib
import hashlib
import os
import re
import shlex
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

from ...config.fields import nearest
from ...errors import UserError
from ...files import write_text
from .pydoc import Pydoc
from .tokenization import SPLITS, WHITESPACE, Split, Tokenizer, open_tokenizer
from .wikitext import PARTS, WikiText

NAMES = ("pydoc", *PARTS)
PIECE = 1 << 20  # characters read at a time
MOST_NULS = 0.1  # share of NULs in a text; UTF-16 has half, in most scripts
FEW_CHARACTERS = 10  # a shorter text may have as many NULs as one of this length
CLOCK_GRAIN = 2_000_000_000  # ns; a file modified this recently may change and keep its time stamp


class Source(Protocol):
    """A text in three splits."""

    @property
    def name(self) -> str:
        """A short name; the cache folder begins with it."""

    @property
    def digest(self) -> str:
        """SHA-256 that identifies the text and how it is read."""

    @property
    def tokenizer(self) -> Tokenizer:
        """How the text becomes words."""

    @property
    def location(self) -> str:
        """What opens the text from any working folder: an absolute folder, or a data set's name."""

    def where(self, split: Split) -> str:
        """Where a split is read from, for messages."""

    def size(self, split: Split) -> int:
        """Approximate number of characters of a split, for progress displays."""

    def tokens(self, split: Split) -> int | None:
        """Published number of tokens of a split, which is checked; None if there is none."""

    def text(self, split: Split) -> Iterator[str]:
        """Yield a split in pieces, cut anywhere; lines end with ``"\\n"``."""


def find_source(name_or_folder: str, *, cache: Path) -> Source:
    """Find a text by name or folder; a name takes precedence, ``./NAME`` is the folder.

    Args:
        name_or_folder: one of :data:`NAMES`, or a folder as in :class:`Folder`.
        cache: the cache folder, which stores the hashes of large files.

    Raises:
        UserError: neither a name nor a folder, or the folder lacks a file.
    """
    if name_or_folder == "pydoc":
        return Pydoc()
    if name_or_folder in PARTS:
        return WikiText(name_or_folder)
    if Path(name_or_folder).is_dir():
        return Folder(Path(name_or_folder), stamps=cache / "stamps")
    if Path(name_or_folder).is_file():
        raise UserError(
            f"{name_or_folder}: is a file, not a folder with train.txt, valid.txt and test.txt; "
            f"prepare it with: rrnn data {shlex.quote(name_or_folder)}"
        )
    raise UserError(
        f"{name_or_folder}: must be a data set ({', '.join(NAMES)}) or a folder with "
        f"train.txt, valid.txt and test.txt{nearest(name_or_folder, NAMES)}"
    )


def is_split(path: Path) -> bool:
    """Whether a folder has a file for each split, or at least for one."""
    names = [f"{split}.txt" for split in SPLITS] + [f"wiki.{split}.tokens" for split in SPLITS]
    return any((path / name).is_file() for name in names)


class Folder:
    """A text from ``train.txt``, ``valid.txt``, ``test.txt``, or ``wiki.train.tokens`` etc.

    With a ``tokenizer.json`` in the folder, that says how these are read.

    Args:
        path: the folder.
        stamps: folder that stores the hashes of files, so that a large file is hashed once and not
            at every start.

    Raises:
        UserError: a file is missing or empty, or the tokenizer cannot be read.
    """

    def __init__(self, path: Path, *, stamps: Path):
        self.name = path.resolve().name
        self.location = os.path.abspath(path)
        self._stamps = stamps
        files = {split: path / f"{split}.txt" for split in SPLITS}
        if not any(file.exists() for file in files.values()):
            wiki = {split: path / f"wiki.{split}.tokens" for split in SPLITS}
            if any(file.exists() for file in wiki.values()):
                files = wiki
        missing = [file.name for file in files.values() if not file.is_file()]
        if missing:
            raise UserError(
                f"{path}: {' and '.join(missing)} not found; the folder must hold train.txt, "
                "valid.txt and test.txt (or wiki.train.tokens, wiki.valid.tokens, "
                "wiki.test.tokens); prepare any other text with: rrnn data "
                f"{shlex.quote(str(path))}"
            )
        for file in files.values():
            if file.stat().st_size == 0:
                raise UserError(f"{file}: is empty; it must hold whitespace-separated words")
        self._files = files
        self.tokenizer = open_tokenizer(path / "tokenizer.json")
        self._hashed: dict[Path, str] = {}  # state of each file when it was hashed

    def where(self, split: Split) -> str:
        """Path of the file."""
        return str(self._files[split])

    def size(self, split: Split) -> int:
        """Bytes of the file: the number of characters, if all are ASCII."""
        return self._files[split].stat().st_size

    def tokens(self, split: Split) -> int | None:
        """None: any number is right."""
        return None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the SHA-256 hashes of the three files, and of the tokenizer if it has one."""
        hashes = [self._sha256(self._files[split]) for split in SPLITS]
        if self.tokenizer is not WHITESPACE:
            hashes.append(self.tokenizer.digest)
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def text(self, split: Split) -> Iterator[str]:
        """Yield the file as :func:`read` does.

        Raises:
            UserError: also if the file is no longer the one that :attr:`digest` belongs to.
        """
        path = self._files[split]
        yield from read(path)
        if path in self._hashed and _state(path) != self._hashed[path]:
            raise UserError(f"{path}: changed while it was read; try again")

    def _sha256(self, path: Path) -> str:
        """Hash a file, or return the stored hash if the file is unchanged."""
        seen = self._hashed[path] = _state(path)
        changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
        key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
        stamp = self._stamps / key
        with contextlib.suppress(OSError, UnicodeDecodeError):
            stored = stamp.read_text(encoding="utf-8")
            if re.fullmatch(re.escape(seen) + "[0-9a-f]{64}", stored):
                return stored.removeprefix(seen)
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        if time.time_ns() - changed > CLOCK_GRAIN:
            with contextlib.suppress(OSError, UserError):  # a shared cache may be read-only
                self._stamps.mkdir(parents=True, exist_ok=True)
                write_text(stamp, seen + digest)
        return digest


def _state(path: Path) -> str:
    """What changes with the content: size, times and inode.

    The modification time can be set back (``touch -r``, ``rsync -t``). The time of the inode's
    change cannot, and another file that is moved to this place has another inode.
    """
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} "


def read(path: Path, *, title: str | None = None) -> Iterator[str]:
    """Yield a text file in pieces of bounded length.

    Args:
        path: of the file.
        title: what messages call it; default: its path.

    Raises:
        UserError: the file cannot be read, is not UTF-8 (the message gives byte and line), or has
            as many NULs as UTF-16. A stray NUL is a character like others.
    """
    title = title or str(path)
    nuls = characters = 0
    try:
        with open(path, encoding="utf-8-sig") as file:  # skips a byte order mark
            while piece := file.read(PIECE):
                nuls += piece.count("\0")
                characters += len(piece)
                if nuls > MOST_NULS * max(characters, FEW_CHARACTERS):
                    raise UserError(f"{title}: {_what_is_wrong(path)}")
                yield piece
    except UnicodeDecodeError:
        raise UserError(f"{title}: {_what_is_wrong(path)}") from None
    except OSError as error:
        raise UserError(f"{title}: cannot be read: {error.strerror}") from error


def _what_is_wrong(path: Path) -> str:
    """The first byte of a file that is not of a text in UTF-8."""
    offset = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            start = line.find(b"\0")
            kind = "is not text"
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                if not 0 <= start < error.start:
                    start, kind = error.start, "is not UTF-8"
            if start >= 0:
                return (
                    f"{kind}: byte 0x{line[start]:02x} at offset {offset + start} (line {number}); "
                    "save the file as UTF-8"
                )
            offset += len(line)
    return "changed while it was read; try again"
