"""Fill the disk under a training, make room, resume it, and compare bits.

A run is trained on a tmpfs of a random size below what it needs. It must end with one line and
leave every file whole. Then the tmpfs is enlarged, and the run is resumed.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .commands import Command, Ended, HangError
from .record import Row
from .small_runs import RUN, Words, difference, language_model, make_text

ENOUGH = "64m"


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Train on disks that are too small.

    Args:
        tries: number of disks.
        random: chooses their sizes.
        folder: an empty folder to work in.
    """
    row = Row("disk full, language model")
    text = folder / "text"
    make_text(text)
    reference, disk = folder / "unbroken", folder / "disk"
    for path in (reference, disk):
        path.mkdir()
    if not _mount(disk, f"size={ENOUGH}"):
        row.outcomes["skipped: no right to mount a tmpfs"] = 1
        yield row
        return
    _unmount(disk)
    words = language_model(text)
    ended = _train(words, reference)
    if ended.code:
        raise RuntimeError(ended.err)
    needed = _kilobytes(reference)
    row.figures["KB needed"] = needed
    for number in range(tries):
        size = random.randint(8, needed)
        row.tries += 1
        _mount(disk, f"size={size}k")
        try:
            reason = _fill(row, words, disk, reference)
        except HangError as error:
            reason = str(error)
        finally:
            _unmount(disk)
        if reason:
            row.fail(f"try {number}, {size} KB", reason)
        yield row


def _fill(row: Row, words: Words, disk: Path, reference: Path) -> str:
    ended = _train(words, disk)
    if ended.code:
        row.outcomes["full"] += 1
        if ended.fault or not ended.refused:
            return ended.fault or f"ended with {ended.code}: {ended.err.strip()}"
        if "disk is full" not in ended.err and "No space left" not in ended.err:
            return f"another message: {ended.err.strip()}"
    _mount(disk, f"remount,size={ENOUGH}")
    again: Words = words
    if (disk / RUN / "config.yaml").exists():
        again = ("train", "--resume", RUN.name)
    ended = _train(again, disk)
    if ended.code:
        return f"does not resume: {ended.err.strip()}"
    reason = difference(disk / RUN, reference / RUN)
    row.outcomes["equal to the bit"] += not reason
    return reason


def _train(words: Words, folder: Path) -> Ended:
    return Command(words, folder, environment={"RRNN_CACHE": str(folder / "cache")}).wait()


def _kilobytes(folder: Path) -> int:
    """What the files of a folder take on a tmpfs, which has pages of 4 KB."""
    return sum(4 * (1 + path.stat().st_size // 4096) for path in folder.rglob("*"))


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=True)
