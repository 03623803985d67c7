"""What is seen of training: a bar on a terminal, plain lines elsewhere."""

import math
import time
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 10.0  # seconds from one plain line to the next


class Display(Protocol):
    """Shows how far training is."""

    def step(self, step: int, quality: str, speed: str) -> None:
        """A step was made; ``quality`` is that of the last row."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """No more steps."""


class Silent:
    """For all processes but the first."""

    def step(self, step: int, quality: str, speed: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line every few seconds, and time left.

    Args:
        total: steps of the whole training.
        start: steps made before.
    """

    def __init__(self, total: int, start: int) -> None:
        self.total = total
        self.start = start
        self.began = self.shown = time.monotonic()

    def step(self, step: int, quality: str, speed: str) -> None:
        """Print a line if the last is some time ago."""
        now = time.monotonic()
        if now - self.shown >= LINE_EVERY:
            self.shown = now
            left = (now - self.began) / (step - self.start) * (self.total - step)
            self.say(f"step {step}/{self.total} · {quality} · {speed} · {_duration(left)} left")

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Nothing."""


class Bar:
    """A bar that stays at the bottom of the terminal; arguments as for :class:`Lines`."""

    def __init__(self, console: Console, total: int, start: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[quality]} · {task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
        )
        self.task = self.progress.add_task(
            "training", total=total, completed=start, quality="…", speed="…"
        )
        self.progress.start()

    def step(self, step: int, quality: str, speed: str) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=step, quality=quality, speed=speed)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar where it is."""
        self.progress.stop()


def open_display(total: int, start: int) -> Display:
    """A bar if stdout is a terminal, lines if not."""
    console = Console()
    return Bar(console, total, start) if console.is_terminal else Lines(total, start)


def perplexity_text(loss: float) -> str:
    """The perplexity of a loss, for people."""
    return "perplexity …" if math.isnan(loss) else f"perplexity {perplexity(loss):,.2f}"


def perplexity(loss: float) -> float:
    """exp(loss), infinite where that is too large."""
    return math.exp(loss) if loss < 700 else math.inf


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
