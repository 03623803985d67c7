"""A table in words, and figures as words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Sheet(NamedTuple):
    """A table in words."""

    header: list[str]
    rows: list[list[str]]


def with_errors(sheet: Sheet, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    """One column more where a row has failed: a gap says why it is there."""
    if not any("error" in row for row in rows):
        return sheet
    cells = [[*line, row.get("error", "")] for line, row in zip(sheet.rows, rows, strict=True)]
    return Sheet([*sheet.header, "error"], cells)


def timing(row: Mapping[str, Any], name: str) -> str:
    """Median, and half the distance between the 20 % and 80 % quantiles in per cent of it.

    Args:
        row: the figures.
        name: of the median, which ends with the unit: "core_step_ms".
    """
    median = row.get(name)
    if median is None:
        return "–"
    what, _, unit = name.rpartition("_")
    low, high = row[f"{what}_spread_{unit}" if what else f"spread_{unit}"]
    text = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
    return f"{text} ±{(high - low) / 2 / median:.0%}"


def number(value: float | None, form: str = ",.0f") -> str:
    """A figure, or a dash for none."""
    return "–" if value is None else format(value, form)
