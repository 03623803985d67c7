"""Display of training progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..printable import printable
from ..progress import LINE_EVERY, duration, shown_by
from ..progress_bar import FittingProgress


class Display(Protocol):
    """Shows the progress of training."""

    def step(self, step: int, quality: str, speed: str) -> None:
        """Report a completed step; ``quality`` is from the last row of metrics."""

    def during_validation(self) -> AbstractContextManager[None]:
        """Show the progress of the validation in this block."""

    def say(self, text: str) -> None:
        """Print a line that stays."""

    def notify(self, text: str) -> None:
        """Print a line about the command itself, which is not part of its output."""

    def close(self) -> None:
        """Training has ended."""


class Silent:
    """The display of all processes but the first: nothing."""

    def step(self, step: int, quality: str, speed: str) -> None:
        """Nothing."""

    def during_validation(self) -> AbstractContextManager[None]:
        """Nothing; only the first process shows progress."""
        return nullcontext()

    def say(self, text: str) -> None:
        """Nothing."""

    def notify(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line every ten seconds, with the time left.

    Args:
        total: steps of the whole training.
        start: steps completed before.
    """

    def __init__(self, total: int, start: int) -> None:
        self.total = total
        self.start = start
        self.began = self.shown = time.monotonic()

    def step(self, step: int, quality: str, speed: str) -> None:
        """Print a line if it is time for one."""
        now = time.monotonic()
        if now - self.shown >= LINE_EVERY:
            self.shown = now
            left = (now - self.began) / (step - self.start) * (self.total - step)
            self.say(f"step {step}/{self.total} · {quality} · {speed} · {duration(left)} left")

    def during_validation(self) -> AbstractContextManager[None]:
        """Leave it to :func:`..progress.progress`: no bar of ours is on the terminal."""
        return nullcontext()

    def say(self, text: str) -> None:
        """Print a line."""
        print(printable(text), flush=True)

    def notify(self, text: str) -> None:
        """Print a line on stderr."""
        print(printable(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing."""


class Bar:
    """A bar at the bottom of the terminal; other arguments as for :class:`Lines`.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console, total: int, start: int) -> None:
        title, line = TextColumn("{task.description}"), BarColumn()
        quality = TextColumn("{task.fields[quality]}", markup=False)
        speed = TextColumn("{task.fields[speed]}")
        remaining, left = TimeRemainingColumn(compact=True), TextColumn("left")
        self.progress = FittingProgress(
            [title, line, MofNCompleteColumn(), quality, speed, remaining, left],
            optional=[line, speed, title, left, remaining, quality],
            console=console,
        )
        self.task = self.progress.add_task(
            "training", total=total, completed=start, quality="…", speed=""
        )
        self.progress.start()

    def step(self, step: int, quality: str, speed: str) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=step, quality=quality, speed=f"· {speed}")

    def during_validation(self) -> AbstractContextManager[None]:
        """Show it in the place of perplexity and speed, until the next step."""
        return shown_by(lambda text: self.progress.update(self.task, quality=text, speed=""))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        text = printable(text)
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def notify(self, text: str) -> None:
        """Print a line above the bar."""
        self.say(text)

    def close(self) -> None:
        """Leave the bar where it is."""
        self.progress.stop()


def open_display(total: int, start: int) -> Display:
    """A bar if stdout is a terminal, lines if not."""
    console = Console()
    return Bar(console, total, start) if console.is_terminal else Lines(total, start)
