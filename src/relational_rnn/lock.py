"""A lock file that one process at a time holds; the system releases it when the process dies."""

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import lock_descriptor

from .errors import UserError
from .files import reporting_errors

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""Error codes of a file system that cannot lock files."""


class LocksUnsupportedError(UserError):
    """The file system cannot lock files."""


class Lock:
    """An exclusive lock on a file; as a context manager it waits until the lock is free.

    A process that inherits :attr:`descriptor` holds the lock as well. The lock is free once all of
    them have ended or closed it; this is why it is not a ``filelock.FileLock``, which unlocks for
    every holder. The empty file stays.

    Args:
        path: the lock file; its folder must exist.

    Attributes:
        descriptor: the open file while the lock is held, otherwise -1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1

    def take(self, *, wait: bool = False) -> bool:
        """Take the lock; return False if another process holds it and ``wait`` is False.

        Raises:
            LocksUnsupportedError: the file system cannot lock files.
            UserError: the file cannot be opened or locked.
        """
        with reporting_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        taken = False
        try:
            taken = lock_descriptor(descriptor, blocking=wait)
        except OSError as error:
            kind = LocksUnsupportedError if error.errno in NO_LOCKS else UserError
            raise kind(f"{self.path}: cannot be locked: {error.strerror}") from error
        finally:
            if not taken:
                os.close(descriptor)
        if taken:
            self.descriptor = descriptor
        return taken

    def is_taken(self) -> bool:
        """Whether another process holds the lock; False if there is no such file, or no locks.

        The question takes a free lock for an instant.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            return not lock_descriptor(descriptor, blocking=False)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Release the lock; processes that inherited it still hold it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        self.take(wait=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
