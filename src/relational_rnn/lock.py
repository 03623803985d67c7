"""A file that one process at a time may hold; the system lets go of it when the process dies."""

import errno
import os
from pathlib import Path
from types import TracebackType

from .errors import UserError


class Lock:
    """A lock on a file, which stays behind empty; a context manager that waits for it.

    Held by this process and those that are given :attr:`descriptor`, until the last of them ends
    or lets go.

    Args:
        path: of the file; its folder has to be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1

    def take(self, *, wait: bool = False) -> bool:
        """Take it and return True; return False if somebody else holds it."""
        import fcntl  # not on Windows

        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise UserError(f"{self.path}: cannot be locked: {error.strerror}") from error
        self.descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> "Lock":
        self.take(wait=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
