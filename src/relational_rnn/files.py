"""Atomic file writes: a temporary file next to the target is written, synced and renamed.

Then the folder is synced too. Without that, a power failure can take the rename back.
"""

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import FullDiskError, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` at the end of the block.

    Raises:
        FullDiskError: the disk is full; the old file stays.
        UserError: the folder cannot be written to; the old file stays.
    """
    temporary = _temporary_name(path)
    with reporting_errors(path):
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; raises as :func:`replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically in UTF-8; raises as :func:`replacing`."""
    write_bytes(path, text.encode("utf-8"))


def append_text(path: Path, text: str) -> None:
    """Append to a file and sync it to disk; raises as :func:`replacing`."""
    with reporting_errors(path), open(path, "ab") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def link(source: Path, path: Path) -> None:
    """Replace ``path`` by a hard link to ``source``, or a copy where links are not possible."""
    temporary = _temporary_name(path)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        write_bytes(path, source.read_bytes())
    else:
        with reporting_errors(path):
            os.replace(temporary, path)
            temporary.unlink(missing_ok=True)  # still there if both were links to one file already
            _sync_folder(path.parent)


def check_not_a_pipe(path: Path) -> None:
    """Raise an ``OSError`` for a pipe, socket or device, of which reading may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Standard JSON, in which numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(value), indent=indent, allow_nan=False)


def _sync_folder(folder: Path) -> None:
    """Make a rename in a folder last through a power failure, where the system can do that.

    The new file is complete and in place by now, so an error here is none of the caller's.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def reporting_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into a :class:`UserError` about ``path``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer turns a file error into a RuntimeError.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        if cause.errno in FULL:
            raise FullDiskError(
                f"{path}: cannot be saved, the disk is full; free some space (the previous file "
                "is intact)"
            ) from error
        raise UserError(f"{path}: cannot be written: {cause.strerror}") from error
