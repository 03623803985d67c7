"""Progress of any work that takes a while: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .printable import printable
from .processes import is_first_process

SHOW_AFTER = 2.0  # seconds of work before anything is shown
LINE_EVERY = 10.0  # seconds between two plain lines

_hidden = 0  # displays and `hidden` blocks that are open; only the outermost display is shown
_show: Callable[[str], None] | None = None  # of `shown_by`


@contextmanager
def progress(title: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show the progress of the work in this block on stderr.

    ::

        with progress("evaluating", total=len(tokens), unit="tokens") as advance:
            for window in windows:
                ...
                advance(len(window))

    Nothing is shown during the first two seconds, so that short work stays silent. After that, a
    terminal shows a bar, which disappears at the end of the block. Any other stderr gets a line
    every ten seconds. Nothing is shown in any process but the first, inside another ``progress``
    block, or inside :func:`hidden`. stdout is never written to. Inside :func:`shown_by`, another
    display shows it.

    Args:
        title: what is being done, such as "evaluating".
        total: amount of work in the whole block.
        unit: what the amount counts, in the plural, such as "tokens".

    Yields:
        ``advance(amount)``: reports that so much more work is done.
    """
    shown = not _hidden and is_first_process()
    display = _Display(title, total, unit) if shown else None
    with hidden():
        try:
            yield display.advance if display else _ignore
        finally:
            if display:
                display.close()


@contextmanager
def hidden() -> Iterator[None]:
    """Show no progress inside this block, which has a display of its own."""
    global _hidden
    _hidden += 1
    try:
        yield
    finally:
        _hidden -= 1


@contextmanager
def shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Show the progress of this block in a display that is open already.

    Args:
        show: called with a short text such as "validating 40%", after the first two seconds of the
            work, whenever the text changes.
    """
    global _show
    before, _show = _show, show
    try:
        yield
    finally:
        _show = before


def duration(seconds: float) -> str:
    """A time as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Display:
    """The state of one ``progress`` block; the bar is made when it is first shown."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title = printable(title)
        self.total = total
        self.unit = unit
        self.done = 0
        self.start = time.monotonic()
        self.next_line = self.start + SHOW_AFTER
        self.show = _show
        self.shown = ""
        self._move_bar: Callable[[int], None] | None = None
        self._close_bar: Callable[[], None] | None = None

    def advance(self, amount: int) -> None:
        self.done += amount
        if self._move_bar is not None:
            self._move_bar(self.done)
        elif (now := time.monotonic()) >= self.next_line:
            if self.show is not None:
                if (text := f"{self.title} {self._share():.0%}") != self.shown:
                    self.shown = text
                    self.show(text)
            elif sys.stderr.isatty():
                self._open_bar()
            else:
                self.next_line = now + LINE_EVERY
                print(self._line(now), file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._close_bar is not None:
            self._close_bar()

    def _share(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 1.0

    def _line(self, now: float) -> str:
        share = self._share()
        left = (now - self.start) * (1 / share - 1) if share else 0.0
        amount = f"{self.done:,} of {self.total:,} {self.unit}".rstrip()
        return f"{self.title}: {share:.0%} · {amount} · {duration(left)} left"

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        from .progress_bar import FittingProgress

        line, amount, unit = BarColumn(), MofNCompleteColumn(), TextColumn(self.unit, markup=False)
        remaining, left = TimeRemainingColumn(compact=True), TextColumn("left")
        bar = FittingProgress(
            [
                TextColumn("{task.description}", markup=False),
                *(line, TaskProgressColumn(), amount, unit, remaining, left),
            ],
            optional=[line, unit, amount, left, remaining],
            console=Console(stderr=True),
            transient=True,
        )
        task = bar.add_task(self.title, total=self.total, completed=self.done)
        bar.start()
        self._move_bar = lambda done: bar.update(task, completed=done)
        self._close_bar = bar.stop


def _ignore(amount: int) -> None:
    """Advance a display that is not shown."""
