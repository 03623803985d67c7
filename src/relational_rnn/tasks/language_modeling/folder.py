"""A user's own text: three files in a folder."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from ...errors import UserError
from ...files import write_text
from .words import SPLITS, Split

PIECE = 1 << 20  # characters read at once
CLOCK_GRAIN = 2_000_000_000  # ns; a file younger than this may change and keep its time


def read(path: Path) -> Iterator[str]:
    """Yield a text file in pieces of bounded length.

    Raises:
        UserError: the file cannot be read, or is not UTF-8 (byte and line are named).
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # a byte order mark is no letter
            while piece := file.read(PIECE):
                yield piece
    except UnicodeDecodeError:
        raise UserError(_not_utf8(path)) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


class Folder:
    """Text from ``train.txt``, ``valid.txt``, ``test.txt``, or from ``wiki.train.tokens`` etc.

    Args:
        path: the folder.
        stamps: folder where the hashes of files are remembered, so that a large file is hashed
            once and not at every start.

    Raises:
        UserError: a file is missing or empty.
    """

    def __init__(self, path: Path, *, stamps: Path):
        self.name = path.resolve().name
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
                "valid.txt and test.txt (or wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens)"
            )
        for file in files.values():
            if file.stat().st_size == 0:
                raise UserError(f"{file}: is empty; it must hold words separated by blanks")
        self._files = files

    def where(self, split: Split) -> str:
        """Path of the file."""
        return str(self._files[split])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the three files' own."""
        hashes = [self._sha256(self._files[split]) for split in SPLITS]
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def text(self, split: Split) -> Iterator[str]:
        """Yield the file as :func:`read` does."""
        return read(self._files[split])

    def _sha256(self, path: Path) -> str:
        """Hash a file, or recall the hash if size and time of change are those of last time."""
        status = path.stat()
        seen = f"{status.st_size} {status.st_mtime_ns} "
        key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
        stamp = self._stamps / key
        with contextlib.suppress(OSError, UnicodeDecodeError):
            remembered = stamp.read_text(encoding="utf-8")
            if remembered.startswith(seen):
                return remembered.removeprefix(seen)
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        if time.time_ns() - status.st_mtime_ns > CLOCK_GRAIN:
            with contextlib.suppress(OSError, UserError):  # a shared cache may be read-only
                self._stamps.mkdir(parents=True, exist_ok=True)
                write_text(stamp, seen + digest)
        return digest


def _not_utf8(path: Path) -> str:
    """Say where a file first fails to be UTF-8."""
    offset = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{path}: is not UTF-8: byte 0x{line[error.start]:02x} at offset "
                    f"{offset + error.start} (line {number}); save the file as UTF-8"
                )
            offset += len(line)
    return f"{path}: changed while it was read; try again"
