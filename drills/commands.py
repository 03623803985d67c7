"""The command in processes that start at once: forks of this one, which has imported everything."""

import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from relational_rnn.cli import main

TOO_LONG = 120.0
"""Seconds after which a command hangs: each of them takes one or two."""

TRACEBACK = re.compile("^Traceback|^Fatal Python error", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, negative for the signal that ended it.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def refused(self) -> bool:
        """Whether it reported a mistake in one line."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return self.code == 2 and len(lines) == 1

    @property
    def fault(self) -> str:
        """What no command may do, whatever happens to it; empty if it has not done it."""
        if TRACEBACK.search(self.err):
            return f"traceback: {self.err.strip().splitlines()[-1]}"
        if self.code in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE):
            return f"ended by {signal.Signals(-self.code).name}"
        if self.code == 2 and not self.refused:
            return f"not reported in one line: {self.err!r}"
        return ""


class HangError(Exception):
    """A command took too long."""


class Command:
    """A command that runs in a fork of this process.

    Args:
        argv: its words, without ``rrnn``.
        folder: the working folder.
        before: called in the new process before the command.
        environment: variables for the new process.
        work: what to do in place of the command; returns the exit code.
    """

    def __init__(
        self,
        argv: Sequence[object],
        folder: Path,
        *,
        before: Callable[[], object] = lambda: None,
        environment: Mapping[str, str] | None = None,
        work: Callable[[list[str]], int] = main,
    ) -> None:
        words = [str(word) for word in argv]
        self.title = " ".join(words[:1])
        self._out = TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._err = TemporaryFile("w+", errors="replace")  # noqa: SIM115
        # An interrupt in the first instants of the new process must end it, as it ends a program.
        before_fork = signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.pid = os.fork()
        self._code: int | None = None
        if self.pid:
            signal.signal(signal.SIGINT, before_fork)
            return
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(folder)
            for descriptor, file in ((1, self._out), (2, self._err)):
                os.dup2(file.fileno(), descriptor)
            # Lightning starts further processes with the words of this one.
            sys.argv = [sys.argv[0], *words]
            os.environ.update(environment or {})
            before()
            code = work(words)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)

    def send(self, number: int) -> bool:
        """Send a signal; return whether the command was still running."""
        if self._poll() is not None:
            return False
        os.kill(self.pid, number)
        return True

    def wait(self, seconds: float = TOO_LONG) -> Ended:
        """Wait for the end.

        Raises:
            HangError: it is still running after this time, and has been killed.
        """
        if not self.wait_at_most(seconds):
            os.killpg(self.pid, signal.SIGKILL)
            self.wait_at_most(seconds)
            raise HangError(f"{self.title}: still running after {seconds:.0f} seconds")
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        assert self._code is not None
        return Ended(self._code, *texts)

    def wait_at_most(self, seconds: float) -> bool:
        """Wait for the end; return whether it came."""
        deadline = time.monotonic() + seconds
        while self._poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def _poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def rrnn(*argv: object, folder: Path, before: Callable[[], object] = lambda: None) -> Ended:
    """Run a command to its end.

    Args:
        argv: its words.
        folder: the working folder.
        before: called in the new process before the command.

    Raises:
        HangError: it is still running after `TOO_LONG` seconds.
    """
    return Command(argv, folder, before=before).wait()


def together(*argv: object, folder: Path, processes: int) -> list[Command]:
    """Start the processes of one training, as a launcher would.

    Args:
        argv: words of the command.
        folder: the working folder.
        processes: how many.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        Command(argv, folder, environment={**shared, "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]
