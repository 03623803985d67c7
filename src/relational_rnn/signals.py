"""Signals that end a command: at once, or after the training step in progress."""

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
REPEAT_SECONDS = 1.0
"""A second SIGTERM or SIGHUP within this time is the same request: ``timeout`` and launchers
signal a process and then its group."""
ACKNOWLEDGE_SECONDS = 5.0
"""How long the end of training waits for the thread that acknowledges a signal."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work at once.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.number = number


def _acknowledge(number: int, acknowledge: Callable[[int], None], held: _thread.LockType) -> None:
    try:
        acknowledge(number)
    finally:
        held.release()


class Stopper:
    """Catches signals inside a ``with`` block.

    A signal raises :class:`Interrupted`, except between :meth:`defer` and :meth:`resume_raising`,
    where the first one is only recorded. An exception raised by a signal handler can be swallowed,
    for example if the handler interrupts a destructor; :meth:`check` raises it again.

    In a thread other than the main one, where Python allows no signal handlers, nothing is caught.

    Args:
        numbers: the signals. One that is ignored at the start stays ignored: ``nohup`` ignores
            SIGHUP, and a shell script ignores SIGINT in its background commands.

    Attributes:
        caught: number of the last signal, 0 for none; a block inside another starts with the
            signal that the outer block has caught.
    """

    def __init__(self, numbers: Sequence[int] = SIGNALS) -> None:
        self.numbers = numbers
        self.caught = 0
        self._time = 0.0
        self._acknowledge: Callable[[int], None] | None = None
        self._acknowledging: _thread.LockType | None = None  # held until the thread is done
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Self:
        outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
        if isinstance(outer, Stopper):
            self.caught = outer.caught
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        self.install()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def install(self) -> None:
        """Install the handlers, again if a library has replaced them."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self.numbers:
            handler = signal.getsignal(number)
            if handler is None:  # not Python's, and cannot be restored
                continue
            ignored = self._before.setdefault(number, handler) is signal.SIG_IGN
            signal.signal(number, signal.SIG_IGN if ignored else self._catch)

    def check(self) -> None:
        """Raise :class:`Interrupted` if a signal was caught."""
        if self.caught:
            raise Interrupted(self.caught)

    def defer(self, acknowledge: Callable[[int], None]) -> None:
        """From now on only record the first signal; a second one still raises.

        Args:
            acknowledge: called with the signal's number, at once, in a thread of its own: the
                handler may have interrupted the main thread while it writes or holds a lock.
        """
        self._acknowledge = acknowledge

    def resume_raising(self) -> None:
        """From now on every signal raises again; waits for an acknowledgement under way."""
        self._acknowledge = None
        if self._acknowledging is not None:
            self._acknowledging.acquire(timeout=ACKNOWLEDGE_SECONDS)
            self._acknowledging = None

    def _catch(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == self.caught != signal.SIGINT and now - self._time < REPEAT_SECONDS:
            return
        first, self.caught, self._time = not self.caught, number, now
        self._leave_closed_terminals()
        if first and self._acknowledge is not None:
            self._acknowledging = _thread.allocate_lock()
            self._acknowledging.acquire()
            given = number, self._acknowledge, self._acknowledging
            _thread.start_new_thread(_acknowledge, given)
        else:
            raise Interrupted(number)

    def _leave_closed_terminals(self) -> None:
        """Discard further output to a terminal that is gone; writing to it would be an error."""
        for descriptor in self._terminals:
            if not os.isatty(descriptor):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


@contextmanager
def exiting_at_once(cleanup: Callable[[], object] = lambda: None) -> Iterator[None]:
    """End the process at once on a signal in this block, which imports modules.

    An exception raised by a signal handler during an import is sometimes swallowed (the import
    system runs callbacks of weak references), and sometimes leaves a library half imported, which
    then fails in another way. Nothing is open yet, so the process can end without unwinding.

    Args:
        cleanup: called before the process ends.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        cleanup()
        if number == signal.SIGINT:
            os.write(2, b"interrupted\n")
        os._exit(128 + number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {each: old for each, old in before.items() if old not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
