"""Runs of one task side by side: a table for the terminal, a picture and an HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from ..config import TASKS
from ..config.fields import options
from ..errors import UserError
from ..files import write_bytes, write_text
from .curves import draw
from .figures import as_png, as_svg
from .formatting import duration, millions, quality, whole
from .pages import make_folder, render
from .record import LOWER_IS_BETTER, Record, labels, read
from .terminal import WideTable

COLUMNS = ("run", "model", "weights", "{unit}", "time", "{unit}/s", "valid", "test")


DIFFERENT_TEXTS = (
    "The runs were trained on different texts, so their perplexities cannot be compared."
)


@dataclass
class Report:
    """The compared runs and the files written about them.

    Attributes:
        records: the runs, in the order given.
        picture: learning curves, PNG.
        page: HTML page with learning curves and tables.
    """

    records: list[Record]
    picture: Path
    page: Path


def write_report(folders: Sequence[Path], output: Path) -> Report:
    """Compare runs of one task: write ``curves.png`` and ``report.html``.

    Args:
        folders: run folders, at least one. Their weights and checkpoints are not read.
        output: folder to write to, created if missing; files of these two names are replaced.

    Raises:
        UserError: a file of a run is missing or broken, the runs are of different tasks, or the
            output cannot be written.
    """
    records = [read(folder) for folder in folders]
    first = records[0]
    for record in records[1:]:
        if (record.task, record.measure) != (first.task, first.measure):
            raise UserError(
                f"{record.folder}: its task is {record.task:.40}, but the task of {first.folder} "
                f"is {first.task:.40}; compare runs of one task at a time"
            )
    make_folder(output)
    report = Report(records, output / "curves.png", output / "report.html")
    figure = draw(records)
    write_bytes(report.picture, as_png(figure))
    write_text(report.page, as_page(records, as_svg(figure)))
    return report


def as_page(records: Sequence[Record], picture: str) -> str:
    """The HTML page.

    Args:
        records: runs of one task.
        picture: an ``<svg>`` element.
    """
    measure = records[0].measure
    return render(
        "runs.html",
        task=records[0].task,
        measure=measure,
        lower_is_better=LOWER_IS_BETTER[measure],
        columns=columns(records),
        rows=cells(records),
        best=_best_cells(records),
        picture=Markup(picture),
        names=labels(records),
        warning=DIFFERENT_TEXTS if on_different_texts(records) else None,
        differences=[[name, *values] for name, values in differences(records)],
    )


def as_table(records: Sequence[Record]) -> WideTable:
    """The table for the terminal, with the best results in bold if the runs can be compared."""
    return WideTable(
        title=f"{records[0].task}: {records[0].measure}",
        header=columns(records),
        rows=cells(records),
        left=("run", "model"),
        bold=_best_cells(records),
        caption=DIFFERENT_TEXTS if on_different_texts(records) else None,
    )


def on_different_texts(records: Sequence[Record]) -> bool:
    """Whether language models of different texts or vocabularies are among the runs."""
    first = records[0]
    of_words = first.measure == "perplexity"
    return of_words and not all(record.has_text_of(first) for record in records[1:])


def columns(records: Sequence[Record]) -> list[str]:
    """The names of the columns."""
    return [name.format(unit=records[0].unit) for name in COLUMNS]


def cells(records: Sequence[Record]) -> list[list[str]]:
    """The cells of the table as text, a row per run, in the order of ``COLUMNS``."""
    rows = []
    for record, label in zip(records, labels(records), strict=True):
        row = record.row()
        rows.append(
            [
                label if row["finished"] else f"{label} (unfinished)",
                str(row["model"] or "–"),
                millions(row["parameters"]),
                millions(row[record.unit]),
                duration(row["seconds"]),
                whole(row[f"{record.unit}_per_s"]),
                quality(row["valid"]),
                quality(row["test"]),
            ]
        )
    return rows


def best(records: Sequence[Record], split: str) -> int | None:
    """Index of the best run on the split "valid" or "test"; None without any result."""
    values = {
        number: record.row()[split]
        for number, record in enumerate(records)
        if record.row()[split] is not None
    }
    if not values:
        return None
    choose = min if LOWER_IS_BETTER[records[0].measure] else max
    return choose(values, key=values.__getitem__)


def differences(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """The configuration fields in which the runs differ, each with its value in every run.

    A field that a run's file lacks has its default; one without effect in a run is "–" there.
    """
    configs = [_complete(record) for record in records]
    names = list(dict.fromkeys(name for config, _ in configs for name in config))
    found = []
    for name in names:
        differ = any(config.get(name) != configs[0][0].get(name) for config, _ in configs)
        shown = ["–" if name in unused else _shown(config, name) for config, unused in configs]
        if name != "name" and differ and len(set(shown)) > 1:
            found.append((name, shown))
    return found


def _complete(record: Record) -> tuple[dict[str, Any], set[str]]:
    """A run's configuration with the defaults of missing fields, and the fields without effect."""
    declared = options(TASKS[record.task]) if record.task in TASKS else {}
    config = dict(record.config)
    for name, field in declared.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        config.setdefault(name, default)
    view = SimpleNamespace(**{str(name): value for name, value in config.items()})
    return config, {name for name, field in declared.items() if field.no_effect(view)}


def _shown(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    return "null" if value is None else str(value)


def _best_cells(records: Sequence[Record]) -> set[tuple[int, int]]:
    """Row and column of the best result of each split, where several runs can be compared."""
    if len(records) == 1 or on_different_texts(records):
        return set()
    return {
        (row, COLUMNS.index(split))
        for split in ("valid", "test")
        if (row := best(records, split)) is not None
    }
