"""The results of a comparison as a table: for the terminal, in Markdown, JSON, and on a page."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ..files import as_json, write_bytes, write_text
from ..report.figures import as_png, as_svg
from ..report.formatting import (
    duration,
    escaped,
    field_value,
    markdown_table,
    origins_in_words,
    percent,
    whole,
)
from ..report.pages import render
from ..report.terminal import WideTable
from .picture import draw
from .results import Figure, Row
from .suite import Suite


@dataclass(frozen=True)
class Text:
    """The text of a cell, and the folder of the run that it is a figure of, if it is of one."""

    text: str
    run: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of one task with a row for each core, or of all tasks."""

    header: list[str]
    rows: list[list[Text]]


def write_comparison(
    suite: Suite, rows: Sequence[Row], folder: Path, origins: Sequence[dict[str, Any]]
) -> dict[str, Path]:
    """Write table.json, table.md, accuracy.png and compare.html into the comparison's folder.

    Args:
        suite: what was compared.
        rows: of :func:`.results.collect`.
        folder: to write to; links to the runs are relative to it.
        origins: of :func:`.results.origins`.

    Returns:
        The paths, by the names "data", "table", "picture" and "page".

    Raises:
        UserError: the folder cannot be written to; older files of these names stay.
    """
    paths = {
        "data": folder / "table.json",
        "table": folder / "table.md",
        "picture": folder / "accuracy.png",
        "page": folder / "compare.html",
    }
    write_text(
        paths["data"], as_json(as_data(suite, rows) | {"origins": list(origins)}, indent=2) + "\n"
    )
    write_text(paths["table"], as_markdown(suite, rows))
    picture = draw(rows)
    write_bytes(paths["picture"], as_png(picture))
    page = render(
        "compare.html",
        name=suite.name,
        note=note(suite),
        missing=sum(row.missing for row in rows),
        overview=overview_table(rows),
        times=times_table(rows),
        picture=Markup(as_svg(picture)),
        tasks=[
            {"name": task, "main": main_table(suite, some), "difficulty": difficulty_table(some)}
            for task, some in _by_task(rows).items()
        ],
        errors=_errors(rows),
        origins=origins_in_words(origins),
    )
    write_text(paths["page"], page)
    return paths


def as_data(suite: Suite, rows: Sequence[Row]) -> dict[str, Any]:
    """The results as plain values for JSON; a time that was never reached is null."""
    return {
        "suite": suite.name,
        "seeds": suite.seeds,
        "learning_rates": suite.learning_rates,
        "thresholds": suite.thresholds,
        "rows": [row.as_plain() for row in rows],
    }


def as_table(suite: Suite, rows: Sequence[Row]) -> WideTable:
    """The main table for the terminal, all tasks below each other."""
    tables = {task: main_table(suite, some, named=False) for task, some in _by_task(rows).items()}
    first = next(iter(tables.values()))
    return WideTable(
        title=f"{suite.name}: {len(tables)} task{'s' if len(tables) > 1 else ''}",
        caption=note(suite, linked=False),
        header=["task", *first.header],
        rows=[
            [task, *(cell.text for cell in row)]
            for task, table in tables.items()
            for row in table.rows
        ],
        keys=2,
        left=("task", "core"),
    )


def as_markdown(suite: Suite, rows: Sequence[Row]) -> str:
    """The tables as a Markdown file with links to the runs."""
    parts = [
        f"# {escaped(suite.name)}",
        note(suite),
        "## Test accuracy",
        _markdown(overview_table(rows)),
        "## CPU time of training",
        _markdown(times_table(rows)),
    ]
    for task, some in _by_task(rows).items():
        parts += [f"## {escaped(task)}", _markdown(main_table(suite, some))]
        difficulty = difficulty_table(some)
        if difficulty.rows:
            parts.append(_markdown(difficulty))
    parts += [f"{escaped(name)} failed: {escaped(error)}" for name, error in _errors(rows)]
    return "\n\n".join(parts) + "\n"


def note(suite: Suite, *, linked: bool = True) -> str:
    """What the figures are, and if they are ``linked``, to what."""
    first, *others = (f"{rate:g}" for rate in suite.learning_rates)
    rates = f"the best of {', '.join([first, *others])} on the validation data"
    seeds, link = len(suite.seeds), " and links to its run" if linked else ""
    median = f"the median of {seeds} seeds{link}; the lowest and the highest follow in brackets"
    return (
        "The cores of a task have the same number of weights within 1 % and see the same number of "
        f"examples. The learning rate is {rates if others else first}. A figure is "
        f"{median if seeds > 1 else f'of one seed{link}'}. CPU time is of training alone, without "
        "validation."
    )


def overview_table(rows: Sequence[Row]) -> Table:
    """The test accuracy of each core, a row for each task."""
    return _by_core(rows, lambda row: _figure(row.accuracy, percent))


def times_table(rows: Sequence[Row]) -> Table:
    """The median CPU time of training of each core, a row for each task."""

    def median(row: Row) -> Text:
        time = row.cpu_seconds
        return Text("–") if time is None else Text(duration(time.value), time.run)

    return _by_core(rows, median)


def _by_core(rows: Sequence[Row], cell: Callable[[Row], Text]) -> Table:
    """A row for each task, a column for each core."""
    tasks = _by_task(rows)
    cores = [row.core for row in next(iter(tasks.values()))]
    return Table(
        ["task", *cores],
        [[Text(task), *(cell(row) for row in some)] for task, some in tasks.items()],
    )


def main_table(suite: Suite, rows: Sequence[Row], *, named: bool = True) -> Table:
    """The table of one task.

    Args:
        suite: what was compared.
        rows: of the task.
        named: whether the header names the threshold, which differs between tasks.
    """
    threshold = suite.thresholds[rows[0].task]
    reached = f"CPU time to {threshold:.0%} valid" if named else "CPU time to threshold"
    header = ["core", "weights", "learning rate", "test accuracy", "CPU time", reached, "runs"]
    lines = []
    for row in rows:
        runs = len(row.runs)
        to_threshold = _figure(row.cpu_seconds_to_threshold, duration)
        if runs > 1:
            to_threshold = Text(f"{to_threshold.text}; {row.reached} of {runs}", to_threshold.run)
        lines.append(
            [
                Text(row.core),
                Text(whole(row.weights)),
                Text(field_value(row.learning_rate) if row.learning_rate else "–"),
                _figure(row.accuracy, percent),
                _figure(row.cpu_seconds, duration),
                to_threshold,
                Text(_progress(row)),
            ]
        )
    return Table(header, lines)


def difficulty_table(rows: Sequence[Row]) -> Table:
    """The accuracy of each core on each kind of question; without rows before there are results."""
    labels = next((row.by_difficulty for row in rows if row.by_difficulty), [])
    names = [" ".join(f"{key} {value}" for key, value in label.items()) for label, _ in labels]
    lines = [
        [Text(row.core), *(_figure(figure, percent) for _, figure in row.by_difficulty)]
        for row in rows
        if row.by_difficulty
    ]
    return Table(["core", *names], lines)


def _figure(figure: Figure | None, shown: Any) -> Text:
    """A figure with its range, if there are several runs; "–" for none, and for an infinite one."""
    if figure is None or math.isinf(figure.value):
        return Text("–")
    if figure.lowest == figure.highest:
        return Text(shown(figure.value), figure.run)
    highest = "–" if math.isinf(figure.highest) else shown(figure.highest)
    return Text(f"{shown(figure.value)} ({shown(figure.lowest)} to {highest})", figure.run)


def _progress(row: Row) -> str:
    """How many runs have ended, and how many are missing or failed."""
    parts = [str(len(row.runs))] if row.runs or not row.missing else []
    parts += [f"{row.missing} missing"] if row.missing else []
    parts += [f"{len(row.errors)} failed"] if row.errors else []
    return ", ".join(parts)


def _by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.task, []).append(row)
    return found


def _errors(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [pair for row in rows for pair in row.errors.items()]


def _markdown(table: Table) -> str:
    def cell(text: Text) -> str:
        shown = escaped(text.text)
        return shown if text.run is None else f"[{shown}]({quote(text.run)}/summary.json)"

    rows = [[cell(each) for each in row] for row in table.rows]
    return markdown_table([escaped(name) for name in table.header], rows).removesuffix("\n")
