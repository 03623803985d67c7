"""Tables of results: columns of formatted figures, and ratios with their targets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

MISSING = "–"
SPREAD_NOTE = "Medians; ± half the distance between the 20 % and 80 % quantiles."


class Table(NamedTuple):
    """A header and rows of text."""

    header: list[str]
    rows: list[list[str]]


def table(rows: Sequence[Row], columns: Mapping[str, Cell]) -> Table:
    """A line for each row; if any row failed, the last column gives the errors.

    Args:
        rows: of a result.
        columns: for each title, the function that formats the cell of a row.
    """
    found = Table([*columns], [[cell(row) for cell in columns.values()] for row in rows])
    if any("error" in row for row in rows):
        found.header.append("error")
        for line, row in zip(found.rows, rows, strict=True):
            line.append(row.get("error", ""))
    return found


def one_table(columns: Mapping[str, Cell]) -> Callable[[Row], list[Table]]:
    """For a measurement with the same columns for all of its rows."""
    return lambda result: [table(result["rows"], columns)]


def text(name: str) -> Cell:
    """A column of text."""
    return lambda row: str(row[name])


def number(name: str, spec: str = ",.0f", *, unit: float = 1.0) -> Cell:
    """A column of figures, in units of `unit`; a dash where there is none."""

    def cell(row: Row) -> str:
        value = row.get(name)
        return MISSING if value is None else format(value / unit, spec)

    return cell


def timing(name: str) -> Cell:
    """A column of medians, each with half the distance between the 20 % and 80 % quantiles.

    Args:
        name: the median's, which ends with the unit: ``core_step_ms``.
    """
    what, _, unit = name.rpartition("_")
    spread = f"{what}_spread_{unit}" if what else f"spread_{unit}"

    def cell(row: Row) -> str:
        median = row.get(name)
        if median is None:
            return MISSING
        low, high = row[spread]
        rounded = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
        return f"{rounded} ±{(high - low) / 2 / median:.0%}"

    return cell


def ratio(
    name: str, value: float, *, at_most: float | None = None, at_least: float | None = None
) -> dict[str, Any]:
    """A ratio of two figures, its target and whether it is met. Give one of the bounds."""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    target = f"≥ {at_least:g}" if at_most is None else f"≤ {at_most:g}"
    return {"ratio": name, "value": round(value, 3), "target": target, "met": met}


def ratio_table(ratios: Sequence[Row]) -> Table:
    """What `ratio` gave, a line each."""
    columns = {
        "ratio of medians": text("ratio"),
        "measured": number("value", ".2f"),
        "target": text("target"),
        "met": lambda row: "yes" if row["met"] else "no",
    }
    return table(ratios, columns)
