"""Train and generate for hours, each in one process, and see whether memory grows."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median

from relational_rnn.cli import main

from .commands import TRACEBACK, Command
from .record import Row
from .small_runs import RUN, Words, make_text, plain

SAMPLE_SECONDS = 2.0
FLAT = 0.03
"""Memory is flat if the last quarter's median is within this share of the second quarter's."""

ENDLESS: Words = ("--validate-every", 50, "--checkpoint-every", 10, "--max-steps", 10**8)


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Train in one process and generate in another, and sample their resident memory.

    The rows so far come once a minute.

    Args:
        tries: how long, in seconds.
        random: seed of what is generated.
        folder: an empty folder to work in.
    """
    text = folder / "text"
    make_text(text)
    for name in ("training", "generating"):
        (folder / name).mkdir()
    trained = Command(plain(text), folder / "generating").wait()
    if trained.code:
        raise RuntimeError(trained.err)
    commands = {
        "training": Command((*plain(text), *ENDLESS), folder / "training"),
        "generating": Command((random.randrange(10**6),), folder / "generating", work=_generate),
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    start = time.monotonic()
    minutes = 0
    while (elapsed := time.monotonic() - start) < tries:
        for name, command in commands.items():
            if not command.wait_at_most(0):
                samples[name].append(_resident_megabytes(command.pid))
        if elapsed > 60 * (minutes + 1):
            minutes += 1
            yield from _rows(samples, elapsed)
        time.sleep(SAMPLE_SECONDS)
    rows = _rows(samples, time.monotonic() - start)
    for row, command in zip(rows, commands.values(), strict=True):
        if not command.send(signal.SIGTERM):
            row.fail("the process", "ended before its time")
        ended = command.wait()
        if TRACEBACK.search(ended.err):
            row.fail("the process", ended.err.strip().splitlines()[-1])
        yield row


def _generate(words: list[str]) -> int:
    """Generate from the run's model again and again, until a signal ends this process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    seed = int(words[0])
    while True:
        seed += 1
        code = main(["generate", RUN.name, "--words", "500", "--seed", str(seed)])
        if code:
            return code


def _rows(samples: dict[str, list[float]], seconds: float) -> list[Row]:
    rows = []
    for name, found in samples.items():
        row = Row(f"soak, {name}", tries=1)
        row.outcomes["memory samples"] = len(found)
        quarter = len(found) // 4
        second, last = found[quarter : 2 * quarter], found[3 * quarter :]
        row.figures = {"minutes": seconds / 60}
        if quarter:
            row.figures |= {"MB at first": median(second), "MB at last": median(last)}
            if abs(median(last) / median(second) - 1) > FLAT:
                row.fail("memory", f"from {median(second):.0f} to {median(last):.0f} MB")
        rows.append(row)
    return rows


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
