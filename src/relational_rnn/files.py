"""Files that are whole or not there: written under a temporary name, synced, renamed."""

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` when it is complete.

    Raises:
        UserError: the disk is full, or the folder cannot be written to; what was there stays.
    """
    temporary = _beside(path)
    with told(path):
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises as :func:`replacing`."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """As :func:`write_bytes`, for text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def append_text(path: Path, text: str) -> None:
    """Add to a file, and see to it that it is on the disk; raises as :func:`replacing`."""
    with told(path), open(path, "ab") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def link(source: Path, path: Path) -> None:
    """Give a file a second name, in place of what had that name; a copy where links fail."""
    temporary = _beside(path)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        write_bytes(path, source.read_bytes())
    else:
        os.replace(temporary, path)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as everybody reads it: numbers that are not finite, which it does not have, are null."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(value), indent=indent, allow_nan=False)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of the file system into a line for the user."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer turns an error of the file into a RuntimeError of its own.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        if cause.errno in FULL:
            raise UserError(
                f"{path}: cannot be saved, the disk is full: make room (the file that was there "
                "before is whole)"
            ) from error
        raise UserError(f"{path}: cannot be written: {cause.strerror}") from error
