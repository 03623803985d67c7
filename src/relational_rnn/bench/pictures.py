"""What the pictures of several measurements share."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ..report.figures import COLOURS

__all__ = ["COLOURS", "bars"]


def bars(
    axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, *, title: str, unit: str, colour: str
) -> None:
    """Horizontal bars of one figure, a bar for each row, with the value at its end."""
    values = [row.get(name) for row in rows]
    lengths = [value or 0.0 for value in values]
    drawn = axes.barh(range(len(rows)), lengths, height=0.65, color=colour)
    missing = ["failed" if "error" in row else "" for row in rows]
    labels = [
        text if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
        for value, text in zip(values, missing, strict=True)
    ]
    axes.bar_label(drawn, labels, padding=4)
    axes.margins(x=0.18)
    axes.set(title=title, xlabel=unit)
    axes.grid(visible=False, axis="y")
