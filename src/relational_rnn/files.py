"""Files that are whole or not there: written under a temporary name, synced, renamed."""

import contextlib
import errno
import os
from pathlib import Path

from .errors import UserError


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all; an older file of that name stays until then.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{path}: the disk is full; the file that was there before is untouched; "
                "make room and resume the run"
            ) from error
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """As :func:`write_bytes`, for text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))
