"""Folders that one process writes to, and their removal if it was killed."""

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ...lock import Lock

HOUR = 3600.0
MINUTE = 60.0
LOCK = ".writing"
"""Lock file in a private folder. The system releases it when the process dies, in whatever way, and
also for processes in other containers or on other machines, whose ids mean nothing here."""


@contextlib.contextmanager
def private_folder(folder: Path, *, guard: Path | None = None) -> Iterator[Path]:
    """Create a folder next to ``folder``, and remove it at the end of the block.

    Args:
        folder: what the private one is to become.
        guard: lock file that keeps :func:`remove_leftovers` from removing it before its own lock is
            held.

    Raises:
        OSError: the folder cannot be created.
    """
    private = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    lock = Lock(private / LOCK)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext() if guard is None else _alone(guard):
            private.mkdir()
            with contextlib.suppress(UserError):  # a file system without locks
                lock.take()
        yield private
    finally:
        lock.release()
        shutil.rmtree(private, ignore_errors=True)


def remove_leftovers(cache: Path) -> None:
    """Remove the private folders and temporary files in ``cache`` whose process was killed."""
    parent = cache / "corpora"
    with contextlib.suppress(OSError):  # no cache yet, or one that only others may write to
        for place in ("stamps", "corpora/[!.]*"):
            for path in cache.glob(f"{place}/.*.tmp"):  # small files, written in an instant
                if time.time() - path.stat().st_mtime > HOUR:
                    path.unlink()
        if found := [path for path in parent.iterdir() if _process_id(path)]:
            with _alone(guard_of(parent)):
                for private in found:
                    if _is_abandoned(private):
                        shutil.rmtree(private, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the private folders in ``parent``, any folder, whose process was killed.

    Only what is a minute old: a younger one may not have its lock yet.
    """
    with contextlib.suppress(OSError):  # there is no such folder yet
        for path in parent.glob(".*"):
            lock = path / LOCK
            if (
                re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}", path.name)
                and lock.is_file()
                and time.time() - lock.stat().st_mtime > MINUTE
                and _is_abandoned(path)
            ):
                shutil.rmtree(path, ignore_errors=True)


def guard_of(parent: Path) -> Path:
    """The lock file that a process holds while it creates or removes a private folder there."""
    return parent.with_name(f"{parent.name}.lock")


@contextlib.contextmanager
def _alone(guard: Path) -> Iterator[None]:
    """Hold a lock file, where files can be locked."""
    lock = Lock(guard)
    with contextlib.suppress(UserError):
        lock.take(wait=True)
    try:
        yield
    finally:
        lock.release()


def _process_id(path: Path) -> int | None:
    """Process that created a private folder; None for any other path."""
    name = re.fullmatch(r"\..+-[0-9a-f]{16}-\d+\.(\d+)\.[0-9a-f]{8}", path.name)
    return int(name[1]) if name else None


def _is_abandoned(private: Path) -> bool:
    if (private / LOCK).exists():
        lock = Lock(private / LOCK)
        with contextlib.suppress(UserError):  # a file system without locks
            taken = lock.take()
            lock.release()
            return taken
    # Of an earlier version, or without locks: the process is asked for, except on Windows, where
    # os.kill would end it.
    process = _process_id(private)
    if process is None or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False
