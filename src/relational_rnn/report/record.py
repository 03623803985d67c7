"""Read the files of a run folder: configuration, metrics and summary, without building a model."""

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.yaml_files import parse_yaml
from ..errors import UserError
from ..files import check_not_a_pipe
from ..printable import printable

LOWER_IS_BETTER = {"perplexity": True, "accuracy": False}
"""The measures by which runs are compared."""


@dataclass
class Record:
    """A run as its files describe it.

    Attributes:
        folder: the run folder.
        config: all fields of its configuration.
        metrics: every column of metrics.csv; NaN where a row has no value.
        summary: the results, from summary.json; empty before the run has ended.
        text: SHA-256 of the text of a language model, from text.json; None if it is not known.
        vocabulary: SHA-256 of its vocabulary.json; None without one.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, list[float]]
    summary: dict[str, Any]
    text: str | None = None
    vocabulary: str | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def task(self) -> str:
        """The task it was trained on."""
        return str(self.config.get("task", ""))

    @property
    def measure(self) -> str:
        """The validation measure: "perplexity" or "accuracy"."""
        return next(name for name in LOWER_IS_BETTER if f"valid_{name}" in self.metrics)

    @property
    def unit(self) -> str:
        """The unit that training progress is counted in: "tokens" or "examples"."""
        return "examples" if "examples" in self.metrics else "tokens"

    @property
    def finished(self) -> bool:
        """Whether the run has been tested and was not stopped early by a signal."""
        return "test" in self.summary and bool(self.summary.get("finished", True))

    @property
    def best(self) -> float | None:
        """The best validation result in metrics.csv; None before the first."""
        values = [x for x in self.metrics[f"valid_{self.measure}"] if math.isfinite(x)]
        if not values:
            return None
        return min(values) if LOWER_IS_BETTER[self.measure] else max(values)

    def has_text_of(self, other: "Record") -> bool:
        """Whether both are of one text and vocabulary, as far as their files tell."""
        if None not in (self.vocabulary, other.vocabulary) and self.vocabulary != other.vocabulary:
            return False
        if None not in (self.text, other.text):
            return self.text == other.text
        if None not in (self.vocabulary, other.vocabulary):
            return True
        return bool(self.config.get("data") == other.config.get("data"))

    def curve(self, x: str, y: str) -> tuple[list[float], list[float]]:
        """The values of two columns, in the rows where both are finite."""
        columns = (self.metrics.get(x, []), self.metrics.get(y, []))
        points = [(a, b) for a, b in zip(*columns, strict=False) if math.isfinite(a + b)]
        return [a for a, _ in points], [b for _, b in points]

    def row(self) -> dict[str, Any]:
        """The run as one table row of plain values; None where a value is missing."""

        def last(column: str) -> float | None:
            values = [x for x in self.metrics.get(column, []) if math.isfinite(x)]
            return values[-1] if values else None

        def result(split: str) -> float | None:
            scores = self.summary.get(split)
            value = scores.get(self.measure) if isinstance(scores, dict) else None
            return value if _is_number(value) else None

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
        UserError: a file is missing or broken. summary.json may be missing, from a run that has not
            ended, and text.json and vocabulary.json, from a run without a text.
    """
    try:
        config = parse_yaml(_text(folder / "config.yaml"))
        if not isinstance(config, dict):
            raise ValueError("not a mapping of `field: value` lines")
    except ValueError as error:
        raise _broken(folder / "config.yaml", error) from error
    summary: Any = {}
    if (folder / "summary.json").exists():
        try:
            summary = json.loads(_text(folder / "summary.json"))
            if not isinstance(summary, dict):
                raise ValueError("not a JSON object")
            for name in ("parameters", "tokens_per_s", "examples_per_s"):
                if summary.get(name) is not None and not _is_number(summary[name]):
                    raise ValueError(f"{name} is {summary[name]!r:.40}, not a finite number")
        except (ValueError, RecursionError) as error:
            raise _broken(folder / "summary.json", error) from error
    try:
        metrics = _metrics(_text(folder / "metrics.csv"))
    except (ValueError, csv.Error) as error:
        raise _broken(folder / "metrics.csv", error) from error
    steps, tested = metrics["step"], summary.get("steps")
    if steps and isinstance(tested, int) and steps[-1] > tested:
        # The summary is from before the run was resumed.
        summary = {key: value for key, value in summary.items() if key not in ("valid", "test")}
    return Record(folder, config, metrics, summary, *_text_of(folder))


def labels(records: Sequence[Record]) -> list[str]:
    """A name for each run: its folder's name, or the path where several have the same name."""
    names = [printable(record.name) for record in records]
    return [
        name if names.count(name) == 1 else printable(record.folder.as_posix())
        for name, record in zip(names, records, strict=True)
    ]


def _text_of(folder: Path) -> tuple[str | None, str | None]:
    """SHA-256 of a run's text and of its vocabulary; None where it is not known."""
    text, vocabulary = folder / "text.json", folder / "vocabulary.json"
    digest = None
    if text.exists():
        try:
            digest = str(json.loads(_text(text))["sha256"])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise _broken(text, error) from error
    if not vocabulary.exists():
        return digest, None
    return digest, hashlib.sha256(_text(vocabulary).encode()).hexdigest()


def _metrics(text: str) -> dict[str, list[float]]:
    lines = text.splitlines()
    if lines and not text.endswith("\n"):
        lines.pop()  # a row being written, or left unfinished when the run was killed
    rows = csv.reader(lines)
    names = next(rows, [])
    if "step" not in names or not any(f"valid_{name}" in names for name in LOWER_IS_BETTER):
        raise ValueError("the first line does not name the columns of metrics.csv")
    columns: dict[str, list[float]] = {name: [] for name in names}
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise ValueError(f"line {number} has {len(row)} fields, not {len(names)}")
        for name, field in zip(names, row, strict=True):
            try:
                columns[name].append(float(field) if field else math.nan)
            except ValueError:
                raise ValueError(f"line {number}: {name} is {field!r:.40}, not a number") from None
    if not columns["step"]:
        raise ValueError("no rows yet")
    return columns


def _is_number(value: Any) -> bool:
    """Whether it can be shown as a figure; an integer may be too large even for a float."""
    if not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _text(path: Path) -> str:
    try:
        check_not_a_pipe(path)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _broken(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{path}: broken: {reason}; give a run folder that rrnn train wrote")
