"""Ctrl-C and SIGTERM end training after the step under way; a second Ctrl-C ends it at once."""

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopper:
    """Catches the signals between :meth:`install` and :meth:`restore`.

    Attributes:
        caught: number of the signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Catch the signals from now on; in another than the main thread, which may not, do not."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in SIGNALS}

    def restore(self) -> None:
        """Leave the signals to whoever had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.caught = number
