"""What the files of a run say: configuration, metrics, and, once it has ended, summary."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError

LOWER_IS_BETTER = {"perplexity": True, "accuracy": False}
"""The measures of quality that a run can be compared by."""


@dataclass
class Record:
    """A run, as its files tell it.

    Attributes:
        folder: where they are.
        config: all fields of its configuration.
        metrics: every column of metrics.csv; NaN where a row has no value.
        summary: what it came to; empty while it is still running.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, list[float]]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def task(self) -> str:
        """What it was trained for."""
        return str(self.config.get("task", ""))

    @property
    def measure(self) -> str:
        """Its measure of quality: "perplexity" or "accuracy"."""
        return next(name for name in LOWER_IS_BETTER if f"valid_{name}" in self.metrics)

    @property
    def unit(self) -> str:
        """What its training is counted in: "tokens", or "examples"."""
        return "examples" if "examples" in self.metrics else "tokens"

    @property
    def finished(self) -> bool:
        """Whether it came to its end: it has been tested, and was not stopped before."""
        return "test" in self.summary and bool(self.summary.get("finished", True))

    @property
    def best(self) -> float | None:
        """The best validation in metrics.csv; None before the first."""
        values = [x for x in self.metrics[f"valid_{self.measure}"] if math.isfinite(x)]
        if not values:
            return None
        return min(values) if LOWER_IS_BETTER[self.measure] else max(values)

    def curve(self, x: str, y: str) -> tuple[list[float], list[float]]:
        """The points of two columns where both have a finite value."""
        columns = (self.metrics.get(x, []), self.metrics.get(y, []))
        points = [(a, b) for a, b in zip(*columns, strict=False) if math.isfinite(a + b)]
        return [a for a, _ in points], [b for _, b in points]

    def row(self) -> dict[str, Any]:
        """The run in a few plain values, for a table; None where there is none."""

        def last(column: str) -> float | None:
            values = [x for x in self.metrics.get(column, []) if math.isfinite(x)]
            return values[-1] if values else None

        def result(split: str) -> float | None:
            scores = self.summary.get(split)
            value = scores.get(self.measure) if isinstance(scores, dict) else None
            return value if isinstance(value, int | float) else None

        def count(column: str) -> int | None:
            value = last(column)
            return None if value is None else round(value)

        valid, speed = result("valid"), f"{self.unit}_per_s"
        return {
            "run": self.name,
            "model": self.config.get("model"),
            "parameters": self.summary.get("parameters"),
            "steps": count("step"),
            self.unit: count(self.unit),
            "seconds": last("seconds"),
            speed: self.summary.get(speed) or last(speed),
            "measure": self.measure,
            "valid": self.best if valid is None else valid,
            "test": result("test"),
            "finished": self.finished,
        }


def read(folder: Path) -> Record:
    """Read the files of a run.

    Raises:
        UserError: one is missing or broken. summary.json may be missing: the run is still going
            on, or was cut off.
    """
    try:
        config = yaml.safe_load(_text(folder / "config.yaml"))
        if not isinstance(config, dict):
            raise ValueError("not lines of `field: value`")
    except (yaml.YAMLError, ValueError) as error:
        raise _broken(folder / "config.yaml", error) from error
    summary: Any = {}
    if (folder / "summary.json").exists():
        try:
            summary = json.loads(_text(folder / "summary.json"))
            if not isinstance(summary, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise _broken(folder / "summary.json", error) from error
    try:
        metrics = _metrics(_text(folder / "metrics.csv"))
    except ValueError as error:
        raise _broken(folder / "metrics.csv", error) from error
    steps, tested = metrics["step"], summary.get("steps")
    if steps and isinstance(tested, int) and steps[-1] > tested:
        # Of an earlier end of a run that has gone on since.
        summary = {key: value for key, value in summary.items() if key not in ("valid", "test")}
    return Record(folder, config, metrics, summary)


def _metrics(text: str) -> dict[str, list[float]]:
    lines = text.splitlines()
    if lines and not text.endswith("\n"):
        lines.pop()  # a row that is being written, or was when the run was killed
    rows = csv.reader(lines)
    names = next(rows, [])
    if "step" not in names or not any(f"valid_{name}" in names for name in LOWER_IS_BETTER):
        raise ValueError("its first line does not name the columns of metrics.csv")
    columns: dict[str, list[float]] = {name: [] for name in names}
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise ValueError(f"line {number} has {len(row)} fields, not {len(names)}")
        for name, field in zip(names, row, strict=True):
            try:
                columns[name].append(float(field) if field else math.nan)
            except ValueError:
                raise ValueError(f"line {number}: {name} is {field!r}, not a number") from None
    if not columns["step"]:
        raise ValueError("it has no row yet")
    return columns


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _broken(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{path}: broken: {reason}; give a run folder that rrnn train wrote")
