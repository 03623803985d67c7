"""Send signals to a command at random moments, start it again, and compare bits.

KILL, TERM, INT and HUP, up to three times in a row, to trainings, to ``rrnn data``, to a sweep and
to one or both of two processes that train together.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .commands import TOO_LONG, Command, Ended, HangError, together
from .record import Row
from .small_runs import (
    RUN,
    Words,
    difference,
    language_model,
    make_text,
    reasoning,
    small,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOST_SIGNALS = 3
"""Signals in a row before the command is left alone."""

LAUNCHER_SECONDS = 5.0
"""How long a process may outlive the one that it trains with; then a launcher kills it."""

PLAN = """\
base: language-modeling
rows:
  - {weight_decay: 0.0}
  - {weight_decay: 0.1}
"""


@dataclass(frozen=True)
class Case:
    """A command to be interrupted.

    Attributes:
        start: its words, from the folder of the text.
        again: words to start it again, from the folder that it works in.
        differs: compares two folders; returns what differs.
        processes: how many train together.
        every: only one of so many tries is of this case.
    """

    start: Callable[[Path], Words]
    again: Callable[[Path, Words], Words]
    differs: Callable[[Path, Path], str]
    processes: int = 1
    every: int = 1


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Interrupt commands and start them again.

    Args:
        tries: how many commands of most cases are interrupted.
        random: chooses signals and moments.
        folder: an empty folder to work in.
    """
    text = folder / "text"
    make_text(text)
    cases = []
    for title, case in CASES.items():
        row = Row(f"random signals, {title}")
        home = folder / title.replace(" ", "-")
        start = case.start(text)
        began = time.monotonic()
        for ended in _end(_begin(case, start, home / "unbroken"), row):
            if ended.code:
                raise RuntimeError(ended.err)
        cases.append((row, case, start, home, time.monotonic() - began))
    for number in range(tries):
        for row, case, start, home, seconds in cases:
            if number % case.every:
                continue
            row.tries += 1
            place = home / str(number)
            try:
                reason = _interrupt(row, case, start, place, seconds, random)
                reason = reason or case.differs(place, home / "unbroken")
            except HangError as error:
                reason = str(error)
            row.outcomes["equal to the bit"] += not reason
            if reason:
                row.fail(f"try {number}", reason)
            yield row


def _begin(case: Case, words: Words, folder: Path) -> list[Command]:
    folder.mkdir(parents=True, exist_ok=True)
    if case.processes > 1:
        return together(*words, folder=folder, processes=case.processes)
    return [Command(words, folder, environment={"RRNN_CACHE": str(folder / "cache")})]


def _end(commands: list[Command], row: Row) -> list[Ended]:
    """Wait for all commands; if one has ended, the others are killed soon, as by a launcher."""
    if len(commands) > 1:
        deadline = time.monotonic() + TOO_LONG
        while not any(command.wait_at_most(0.05) for command in commands):
            if time.monotonic() > deadline:
                break  # waiting for one of them reports it
        else:
            for command in commands:
                if not command.wait_at_most(LAUNCHER_SECONDS):
                    command.send(signal.SIGKILL)
                    row.outcomes["survivors killed"] += 1
    return [command.wait() for command in commands]


def _interrupt(
    row: Row, case: Case, start: Words, folder: Path, seconds: float, random: Random
) -> str:
    """Interrupt a command until it is left alone; return what went wrong."""
    words = start
    for _ in range(random.randint(1, MOST_SIGNALS)):
        commands = _begin(case, words, folder)
        commands[0].wait_at_most(random.uniform(0, 1.1 * seconds))
        number = random.choice(SIGNALS)
        chosen = commands if random.random() < 0.5 else [random.choice(commands)]
        hits = [command.send(number) for command in chosen]
        for ended in _end(commands, row):
            if ended.fault:
                return f"{number.name}: {ended.fault}"
            allowed = {0, 2, *(-each for each in SIGNALS), *(128 + each for each in SIGNALS)}
            if ended.code not in allowed or (ended.code == 2 and case.processes == 1):
                return f"{number.name}: ended with {ended.code}: {ended.err.strip()}"
        row.outcomes[number.name] += any(hits)
        words = case.again(folder, start)
    for ended in _end(_begin(case, words, folder), row):
        if ended.code:
            return f"does not resume: {ended.fault or ended.err.strip()}"
    return ""


def _resume(folder: Path, start: Words) -> Words:
    started = (folder / RUN / "config.yaml").exists()
    return ("train", "--resume", RUN.name) if started else start


def _runs_differ(folder: Path, reference: Path) -> str:
    return difference(folder / RUN, reference / RUN)


def _caches_differ(folder: Path, reference: Path) -> str:
    found, wanted = map(_prepared, (folder, reference))
    if found.keys() != wanted.keys():
        return f"in the cache: {sorted(found)}"
    different = [name for name in found if found[name].read_bytes() != wanted[name].read_bytes()]
    return f"{different} differ" if different else ""


def _prepared(folder: Path) -> dict[str, Path]:
    """The files of a cache, by their paths, without stamps and what is removed after an hour."""
    cache = folder / "cache"
    return {
        str(path.relative_to(cache)): path
        for path in cache.rglob("*")
        if path.is_file() and path.parent.name != "stamps" and path.suffix != ".tmp"
    }


def _sweeps_differ(folder: Path, reference: Path) -> str:
    tables = []
    for each in (folder, reference):
        table = json.loads((each / "runs/sweep/table.json").read_text(encoding="utf-8"))
        tables.append([{**trial, "seconds": None} for trial in table["trials"]])
    if tables[0] != tables[1]:
        return "table.json differs"
    for trial in sorted(reference.glob("runs/sweep/trial-*")):
        if reason := difference(folder / trial.relative_to(reference), trial):
            return f"{trial.name}: {reason}"
    return ""


def _sweep(text: Path) -> Words:
    plan = text.parent / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    return ("sweep", plan, "--run", "sweep", *small(text))


def _two_processes(text: Path) -> Words:
    return (*language_model(text), "--devices", 2)


CASES = {
    "language model": Case(language_model, _resume, _runs_differ),
    "reasoning task": Case(reasoning, _resume, _runs_differ),
    "rrnn data": Case(lambda text: ("data", text), lambda _, start: start, _caches_differ),
    "rrnn sweep": Case(_sweep, lambda _, start: start, _sweeps_differ, every=10),
    "two processes": Case(_two_processes, _resume, _runs_differ, processes=2, every=2),
}
