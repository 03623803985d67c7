"""The results of a comparison: a row for each core on each task, and the runs of its figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, NamedTuple

from ..errors import UserError
from ..evaluate.accuracy import Score
from ..report.record import Record, read
from .queue import Queue
from .suite import Cell

ORIGIN: tuple[str, ...] = ("commit", "versions", "machine")
"""Entries of a run's summary that say where its figures come from."""


class Figure(NamedTuple):
    """The median over the seeds, which is the figure of one run (of two, the lower one)."""

    value: float
    lowest: float
    highest: float
    run: str


@dataclass(frozen=True)
class Row:
    """A core on a task, with the learning rate that is best on the validation data.

    Attributes:
        task: name of the task.
        core: name of the core.
        learning_rate: the best one; None before all were tried.
        weights: number of parameters of the whole model.
        accuracy: on the test data; None before a run has ended.
        cpu_seconds: CPU time of training.
        cpu_seconds_to_threshold: CPU time until a validation reached the task's threshold; infinite
            for a run that never did.
        reached: number of runs that reached the threshold.
        by_difficulty: for each kind of question its label, such as ``{"length": 40}``, and the
            accuracy on it.
        runs: the folders of the runs, one for each seed that has ended, by seed.
        missing: number of runs that have not ended.
        errors: why runs failed, by the run's name.
    """

    task: str
    core: str
    learning_rate: float | None
    weights: int | None
    accuracy: Figure | None
    cpu_seconds: Figure | None
    cpu_seconds_to_threshold: Figure | None
    reached: int
    by_difficulty: list[tuple[dict[str, int], Figure]]
    runs: dict[int, str]
    missing: int
    errors: dict[str, str]

    def as_plain(self) -> dict[str, Any]:
        """The row for JSON."""

        def plain(figure: Figure | None) -> dict[str, Any] | None:
            return None if figure is None else figure._asdict()

        return {
            "task": self.task,
            "core": self.core,
            "learning_rate": self.learning_rate,
            "weights": self.weights,
            "accuracy": plain(self.accuracy),
            "cpu_seconds": plain(self.cpu_seconds),
            "cpu_seconds_to_threshold": plain(self.cpu_seconds_to_threshold),
            "reached": self.reached,
            "by_difficulty": [
                {**label, "accuracy": plain(figure)} for label, figure in self.by_difficulty
            ],
            "runs": {str(seed): run for seed, run in self.runs.items()},
            "missing": self.missing,
            "errors": self.errors,
        }


def collect(queue: Queue) -> list[Row]:
    """The rows of all tasks and cores, in the order of the suite.

    Raises:
        UserError: a file of a run is broken.
    """
    return [_row(queue, task, core) for task, cores in queue.plan.configs.items() for core in cores]


def origins(queue: Queue) -> list[dict[str, Any]]:
    """Commit, versions and machine of the runs, each combination once."""
    found: list[dict[str, Any]] = []
    for cell in queue.cells:
        summary = queue.results(cell) or {}
        origin = {name: summary.get(name) for name in ORIGIN}
        if summary and origin not in found:
            found.append(origin)
    return found


def _row(queue: Queue, task: str, core: str) -> Row:
    rate = queue.best_rate(task, core)
    cells = [cell for cell in queue.cells if (cell.task, cell.core) == (task, core)]
    ended = [cell for cell in queue.chosen(task, core) if queue.results(cell) is not None]
    records = [read(queue.run(cell).folder) for cell in ended]
    threshold = queue.plan.thresholds[task]
    summaries = [record.summary for record in records]
    times = [time_to(record, threshold) for record in records]
    return Row(
        task=task,
        core=core,
        learning_rate=rate,
        weights=summaries[0]["parameters"] if summaries else None,
        accuracy=_figure(ended, [each["test"]["accuracy"] for each in summaries]),
        cpu_seconds=_figure(ended, [each["cpu_seconds"] for each in summaries]),
        cpu_seconds_to_threshold=_figure(ended, times),
        reached=sum(math.isfinite(each) for each in times),
        by_difficulty=_by_difficulty(ended, summaries),
        runs={cell.seed: cell.name for cell in ended},
        missing=queue.missing(task, core),
        errors={cell.name: error for cell in cells if (error := queue.error(cell)) is not None},
    )


def time_to(record: Record, threshold: float) -> float:
    """CPU seconds of training at the first validation of at least ``threshold``; or infinity."""
    times, values = record.curve("cpu_seconds", "valid_accuracy")
    pairs = zip(times, values, strict=True)
    return next((time for time, value in pairs if value >= threshold), math.inf)


def _figure(cells: Sequence[Cell], values: Sequence[float]) -> Figure | None:
    if not values:
        return None
    middle = median_low(values)
    run = cells[list(values).index(middle)].name
    return Figure(middle, min(values), max(values), run)


def _by_difficulty(
    cells: Sequence[Cell], summaries: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, int], Figure]]:
    def label_of(row: dict[str, Any]) -> dict[str, int]:
        return {key: value for key, value in row.items() if key not in Score._fields}

    found = []
    labels = [[label_of(row) for row in summary["by_difficulty"]] for summary in summaries]
    for cell, each in zip(cells, labels, strict=True):
        if each != labels[0]:
            raise UserError(
                f"{cell.name}: broken: its by_difficulty is not that of {cells[0].name}"
            )
    for label, *rows in zip(*labels[:1], *(s["by_difficulty"] for s in summaries), strict=True):
        figure = _figure(cells, [row["accuracy"] for row in rows])
        if figure is not None:
            found.append((label, figure))
    return found
