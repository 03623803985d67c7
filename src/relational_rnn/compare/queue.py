"""The runs of a comparison: which one is next, and which have ended; all of it is in their folders.

A run that has ended has results in summary.json, or ``failed.txt``. A process that trains a run
holds the lock in its folder, so that several may work on one comparison. A run whose lock is free
and that has not ended is resumed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import reporting_errors, write_text
from ..lock import Lock
from ..runs import Run
from .suite import Cell, Suite

MAY_DIFFER = ("name", "device", "threads", "checkpoint_every")
"""Fields of a run that may differ from the suite's when it is resumed or read."""


@dataclass
class CellLease:
    """A run that this process trains.

    Attributes:
        number: of its cell in :attr:`.Suite.cells`.
        parameters: what the cell is, for messages.
        folder: of the run.
        lock: held until :meth:`release`.
        resumed: whether another process began it.
        kills: number of times that its process was killed.
    """

    number: int
    parameters: dict[str, Any]
    folder: Path
    lock: Lock
    resumed: bool
    kills: dict[int, int]

    @property
    def name(self) -> str:
        """What the run is called in messages."""
        return self.folder.name

    def heartbeat(self) -> None:
        """Nothing to do: the lock shows that this process is alive."""

    def report(self, values: Sequence[float]) -> bool:
        """Return False: no run is stopped early."""
        return False

    def count_kill(self) -> int:
        """Return how many times the run's process was killed."""
        self.kills[self.number] = self.kills.get(self.number, 0) + 1
        return self.kills[self.number]

    def finish(self, value: float, facts: dict[str, Any]) -> None:
        """End the run; its results are in its folder."""
        self.release()

    def prune(self) -> None:
        """End the run; never called, because :meth:`report` returns False."""
        self.release()

    def fail(self, error: str) -> None:
        """End the run as failed."""
        write_text(self.folder / "failed.txt", error + "\n")
        self.release()

    def release(self) -> None:
        """Release the run, so that any process may resume it if it has not ended."""
        self.lock.release()


class Queue:
    """The runs of one comparison, in its folder.

    Args:
        suite: what to run.
        folder: for the runs, created if missing.

    Attributes:
        cells: every run that may be needed, see :attr:`.Suite.cells`.

    Raises:
        UserError: the folder cannot be created, or a run in it has another configuration.
    """

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.plan = suite
        self.folder = folder
        self.cells = suite.cells
        self._kills: dict[int, int] = {}
        if (folder / "config.yaml").exists():
            raise UserError(f"{folder}: is a run, not a comparison; choose another --run")
        for number in range(len(self.cells)):
            self._check(number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be created: {error.strerror}") from error

    def run(self, cell: Cell) -> Run:
        """The run of a cell, whether it exists or not."""
        return Run(self.folder / cell.name)

    def acquire(self) -> CellLease | None:
        """Lease a run to start or to resume; None if none is available now."""
        for cell in self._not_ended():
            run = self.run(cell)
            with reporting_errors(run.folder):
                run.folder.mkdir(exist_ok=True)
            lock = Lock(run.folder / ".lock")
            if not lock.take():
                continue
            if self.ended(cell):  # since it was looked up
                lock.release()
                continue
            begun, number = run.config_path.is_file(), self.cells.index(cell)
            return CellLease(number, asdict(cell), run.folder, lock, begun, self._kills)
        return None

    @property
    def underway(self) -> list[str]:
        """Names of the runs that are needed, as far as is known yet, and have not ended."""
        return [cell.name for cell in self._not_ended()]

    @property
    def over(self) -> bool:
        """Whether all runs have ended."""
        return not self._not_ended()

    def ended(self, cell: Cell) -> bool:
        """Whether a run has results, or has failed."""
        return self.results(cell) is not None or self.error(cell) is not None

    def results(self, cell: Cell) -> dict[str, Any] | None:
        """The summary of a finished run; None before, or if it failed.

        Raises:
            UserError: the summary is broken.
        """
        run = self.run(cell)
        if not run.summary_path.is_file() or self.error(cell) is not None:
            return None
        summary = run.summary
        if not summary.get("finished", True):
            return None
        if (missing := _missing(summary)) is not None:
            raise UserError(f"{run.summary_path}: broken: it has no {missing}")
        return summary

    def error(self, cell: Cell) -> str | None:
        """Why a run failed; None if it has not."""
        path = self.run(cell).folder / "failed.txt"
        if not path.is_file():
            return None
        return path.read_text(encoding="utf-8", errors="replace").strip()

    def best_rate(self, task: str, core: str) -> float | None:
        """The learning rate whose run with the first seed is best on the validation data.

        None before all of these runs have ended, or if all have failed. Of equal accuracies, the
        one with the lower loss is best.
        """
        tried = self._first(task, core)
        if not all(map(self.ended, tried)):
            return None
        scores = {}
        for cell in tried:
            if (summary := self.results(cell)) is not None:
                valid = summary["valid"]
                scores[cell.learning_rate] = valid["accuracy"], -(valid["loss"] or 0.0)
        return max(scores, key=lambda rate: scores[rate], default=None)

    def chosen(self, task: str, core: str) -> list[Cell]:
        """The runs of all seeds with the best learning rate; empty before that is known."""
        rate = self.best_rate(task, core)
        return [] if rate is None else [Cell(task, core, rate, seed) for seed in self.plan.seeds]

    @property
    def progress(self) -> str:
        """How many of the runs have ended, in words."""
        cores = self.plan.configs.items()
        missing = sum(self.missing(task, core) for task, each in cores for core in each)
        ended = sum(map(self.ended, self._needed()))
        return f"{ended} of {ended + missing} runs have ended"

    def missing(self, task: str, core: str) -> int:
        """How many runs have not ended, those included whose learning rate is not known yet."""
        missing = sum(not self.ended(cell) for cell in self._first(task, core))
        if missing:
            return missing + len(self.plan.seeds) - 1
        return sum(not self.ended(cell) for cell in self.chosen(task, core)[1:])

    def _not_ended(self) -> list[Cell]:
        return [cell for cell in self._needed() if not self.ended(cell)]

    def _needed(self) -> Iterator[Cell]:
        """The runs to train: all learning rates with the first seed, then the best with others."""
        pairs = [(task, core) for task, cores in self.plan.configs.items() for core in cores]
        for pair in pairs:
            yield from self._first(*pair)
        for pair in pairs:
            yield from self.chosen(*pair)[1:]

    def _first(self, task: str, core: str) -> list[Cell]:
        return [Cell(task, core, rate, self.plan.seeds[0]) for rate in self.plan.learning_rates]

    def _check(self, number: int) -> None:
        """Raise :class:`UserError` if the cell's run exists and has another configuration."""
        run = self.run(self.cells[number])
        if not run.config_path.is_file():
            return
        # A field that is newer than the run has its default there.
        wanted, found = asdict(self.plan.config(number, {})), asdict(run.config)
        for name, value in wanted.items():
            if name not in MAY_DIFFER and found.get(name) != value:
                raise UserError(
                    f"{run.folder}: was trained with another suite: its {name} is "
                    f"{found.get(name)}, this suite's is {value}; choose another --run"
                )


def _missing(summary: dict[str, Any]) -> str | None:
    """What a finished run's summary lacks of what a comparison reads; None if nothing."""

    def has_accuracy(part: object) -> bool:
        return isinstance(part, dict) and is_number(part.get("accuracy"))

    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    for split in ("valid", "test"):
        if not has_accuracy(summary.get(split)):
            return f"accuracy of {split}"
    if not isinstance(summary["valid"].get("loss", ""), int | float | None):
        return "loss of valid"
    for name in ("parameters", "cpu_seconds"):
        if not is_number(summary.get(name)):
            return name
    if not all(isinstance(summary.get(name, {}), dict) for name in ("machine", "versions")):
        return "machine and versions"
    kinds = summary.get("by_difficulty")
    if not isinstance(kinds, list) or not all(map(has_accuracy, kinds)):
        return "accuracy by_difficulty"
    return None
