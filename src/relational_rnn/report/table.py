"""Runs as a table, a row each."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from .picture import labels
from .record import LOWER_IS_BETTER, Record

COLUMNS = ("run", "model", "weights", "{unit}", "time", "{unit}/s", "valid", "test")


def columns(records: Sequence[Record]) -> list[str]:
    """The names of the columns."""
    return [name.format(unit=records[0].unit) for name in COLUMNS]


def cells(records: Sequence[Record]) -> list[list[str]]:
    """The table in words, a row a run in the order of ``COLUMNS``; "–" where there is nothing."""
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
                _whole(row[f"{record.unit}_per_s"]),
                quality(row["valid"]),
                quality(row["test"]),
            ]
        )
    return rows


def best(records: Sequence[Record], split: str) -> int | None:
    """Place of the run that is best on "valid" or "test"; None without any result."""
    values = {
        number: record.row()[split]
        for number, record in enumerate(records)
        if record.row()[split] is not None
    }
    if not values:
        return None
    choose = min if LOWER_IS_BETTER[records[0].measure] else max
    return choose(values, key=values.__getitem__)


def as_table(records: Sequence[Record]) -> Table:
    """The table for a terminal; the best results stand out."""
    measure = records[0].measure
    table = Table(
        title=f"{records[0].task}: {measure}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in columns(records):
        left = name in ("run", "model")
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=name != "run",
            overflow="fold",
            min_width=12 if name == "run" else None,
        )
    winners = {split: best(records, split) for split in ("valid", "test")}
    for number, row in enumerate(cells(records)):
        row[0] = escape(row[0])
        for split, place in winners.items():
            if place == number and len(records) > 1:
                column = COLUMNS.index(split)
                row[column] = f"[bold]{row[column]}[/bold]"
        table.add_row(*row)
    return table


def differences(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """The fields of the configurations that are not the same in all runs, with their values."""
    names = list(dict.fromkeys(name for record in records for name in record.config))
    found = []
    for name in names:
        values = ["null" if (x := r.config.get(name)) is None else str(x) for r in records]
        if name != "name" and len(set(values)) > 1:
            found.append((name, values))
    return found


def duration(seconds: float | None) -> str:
    """A time for people: "12.5 s", "57.1 min", "1.48 h"."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def least_width(table: Table) -> int:
    """Characters of a line that a table for a terminal needs, so as not to cut a word."""
    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, table).minimum


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def millions(value: float | None) -> str:
    """A number of weights for people: "10.71 M", "242,052"."""
    return "–" if value is None else f"{value / 1e6:,.2f} M" if value >= 1e6 else f"{value:,.0f}"


def quality(value: float | None) -> str:
    """Two decimals, as perplexities are published; four for an accuracy between 0 and 1."""
    return "–" if value is None else f"{value:,.2f}" if value > 1 else f"{value:.4f}"
