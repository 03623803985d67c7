"""Kill a command just before each of its file operations, resume it, and compare bits.

The operations are counted by an audit hook: every file opened for writing, renamed, linked or
removed, every folder made or removed, and every sync. The try with number n ends with SIGKILL just
before the n-th operation. What is left must resume to the bits of a training that was not killed.
"""

import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from .commands import Command, HangError
from .record import Row
from .small_runs import RUN, Words, difference, language_model, make_text, reasoning

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate"}
CASES: dict[str, Callable[[Path], Words]] = {
    "language model": language_model,
    "reasoning task": reasoning,
}


class Operations:
    """Counts the file operations of a new process, and may kill it before one of them."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)

    @property
    def count(self) -> int:
        """Operations so far."""
        return int(struct.unpack("q", self._shared[:8])[0])

    def watch(self, folder: Path, *, last: int) -> None:
        """Count the operations of this process below a folder.

        Args:
            folder: where they are counted.
            last: the process is killed just before this one; 0: before none.
        """
        sync = os.fsync

        def happens() -> None:
            self._shared[:8] = struct.pack("q", self.count + 1)
            if self.count == last:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            changes = event in CHANGES or (event == "open" and arguments[2] & WRITING)
            if changes and isinstance(arguments[0], str | os.PathLike):
                path = os.path.abspath(os.fspath(arguments[0]))
                if path.startswith(str(folder)):
                    happens()

        def counted_sync(descriptor: int) -> None:
            happens()
            sync(descriptor)

        sys.addaudithook(hook)
        os.fsync = counted_sync  # type: ignore[assignment]


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Kill trainings and resume them.

    Args:
        tries: trainings that are killed, in all.
        random: chooses the operations, each once before any of them again, and where some of the
            resumed trainings are killed in their turn.
        folder: an empty folder to work in.
    """
    text = folder / "text"
    make_text(text)
    cases = []
    for title, words in CASES.items():
        row = Row(f"kill -9 before a file operation, {title}")
        home = folder / title.replace(" ", "-")
        reference, total = _unbroken(words(text), home / "unbroken")
        row.figures["file operations"] = total
        places = random.sample(range(1, total + 1), total)
        cases.append((row, words(text), home, places, reference))
    for number in range(tries // len(CASES)):
        for row, start, home, places, reference in cases:
            place = places[number % len(places)]
            row.tries += 1
            try:
                reason = _kill(row, start, home / str(number), place, random, reference)
            except HangError as error:
                reason = str(error)
            if reason:
                row.fail(f"before operation {place}", reason)
            yield row


def _unbroken(words: Words, folder: Path) -> tuple[Path, int]:
    """Train without a kill; return the run's folder and the number of operations."""
    operations = Operations()
    ended = _start(words, folder, operations, last=0).wait()
    if ended.code:
        raise RuntimeError(ended.err)
    return folder / RUN, operations.count


def _start(words: Words, folder: Path, operations: Operations, *, last: int) -> Command:
    folder.mkdir(parents=True, exist_ok=True)
    return Command(
        words,
        folder,
        before=lambda: operations.watch(folder, last=last),
        environment={"RRNN_CACHE": str(folder / "cache")},
    )


def _kill(row: Row, words: Words, folder: Path, place: int, random: Random, reference: Path) -> str:
    """Kill a training, every third time its resumption too; return what went wrong."""
    again: Words = words
    for last in (place, random.randrange(1, 40) if place % 3 == 0 else None):
        if last is None:
            continue
        ended = _start(again, folder, Operations(), last=last).wait()
        if ended.code not in (0, -signal.SIGKILL):
            return ended.fault or f"ended with {ended.code}: {ended.err.strip()}"
        row.outcomes["kills"] += ended.code == -signal.SIGKILL
        started = (folder / RUN / "config.yaml").exists()
        again = ("train", "--resume", RUN.name) if started else words
    ended = Command(again, folder, environment={"RRNN_CACHE": str(folder / "cache")}).wait()
    if ended.code:
        return f"does not resume: {ended.err.strip()}"
    reason = difference(folder / RUN, reference)
    row.outcomes["equal to the bit"] += not reason
    return reason
