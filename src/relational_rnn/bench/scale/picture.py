"""Measured peaks over streams, and beside them what is derived for several devices."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...report.figures import COLOURS

Rows = Sequence[Mapping[str, Any]]
PARTS = {
    "kept_mb": "weights, gradients, optimizer",
    "buckets_mb": "buckets of the all-reduce",
    "constant_mb": "constant of a micro-batch",
    "activations_mb": "activations of the streams",
}


def draw(result: Mapping[str, Any]) -> Figure:
    """Two panels; the second is empty where nothing could be derived."""
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    measured, derived = figure.subplots(1, 2)
    parts = [row for row in result["rows"] if row["kind"] == "micro-batch" and "peak_mb" in row]
    _peaks(measured, parts, result["derived"]["fits"])
    _devices(derived, result["derived"]["devices"])
    return figure


def _peaks(axes: Axes, rows: Rows, fits: Rows) -> None:
    for colour, name in zip(COLOURS, dict.fromkeys(row["row"] for row in rows), strict=False):
        own = [row for row in rows if row["row"] == name]
        streams = [row["streams"] for row in own]
        axes.plot(streams, [row["peak_mb"] for row in own], "o", color=colour, label=name)
        for fit in fits:
            if fit["row"] == name:
                ends = [0, max(streams)]
                heights = [fit["constant_mb"] + fit["mb_per_stream"] * end for end in ends]
                axes.plot(ends, heights, ":", color=colour)
    axes.set(title="Peak of forward + backward (measured)", xlabel="streams", ylabel="MB")
    axes.set_ylim(bottom=0)
    if rows:
        axes.legend(frameon=False)


def _devices(axes: Axes, rows: Rows) -> None:
    names = [f"{row['row']}, {row['devices']}" for row in rows]
    left = [0.0] * len(rows)
    for colour, (part, title) in zip(COLOURS, PARTS.items(), strict=False):
        widths = [row[part] for row in rows]
        axes.barh(range(len(rows)), widths, left=left, height=0.65, color=colour, label=title)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), names)
    axes.set(title="On each of so many devices (derived)", xlabel="MB")
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    if rows:
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
