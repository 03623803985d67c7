"""Results as pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from ..report.figures import COLOURS, STYLE
from .scale import picture as scale_picture

Rows = Sequence[Mapping[str, Any]]


def draw(result: Mapping[str, Any]) -> Figure | None:
    """The picture that fits the result: bars, or curves over what grows; None for mere tables."""
    rows: Rows = result["rows"]
    with mpl.rc_context(STYLE):
        if "corpus" in result or "batches" in result:
            return None
        if "scale" in result:
            return scale_picture.draw(result)
        if "growth_mb" in result:
            return _memory(result)
        if "part" in rows[0]:
            return _parts(rows)
        return _growth(result["grow"], rows) if "grow" in result else _speed(rows)


def _speed(rows: Rows) -> Figure:
    """Core, training step and memory as bars; a black mark on the core's bar is its floor."""
    figure = Figure(figsize=(14, 1.5 + 0.42 * len(rows)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    core, step, memory = panels
    _bars(core, rows, "core_step_ms", "Core, forward + backward", "ms", COLOURS[0])
    _bars(step, rows, "train_step_ms", "Whole training step", "ms", COLOURS[2])
    _bars(memory, rows, "peak_mb", "Peak memory of a training step", "MB", COLOURS[4])
    floors = [(place, row.get("core_floor_ms")) for place, row in enumerate(rows)]
    marks = [(place, floor) for place, floor in floors if floor is not None]
    if marks:
        places, values = zip(*marks, strict=True)
        core.plot(
            values,
            places,
            "|",
            color="black",
            markersize=16,
            markeredgewidth=2,
            label="its matrix products alone",
        )
        core.legend(loc="lower right", frameon=False)
    core.set_yticks(range(len(rows)), [row["row"] for row in rows])
    core.invert_yaxis()
    return figure


def _bars(axes: Axes, rows: Rows, name: str, title: str, unit: str, colour: str) -> None:
    values = [row.get(name) for row in rows]
    lengths = [value or 0.0 for value in values]
    bars = axes.barh(range(len(rows)), lengths, height=0.65, color=colour)
    missing = ["failed" if "error" in row else "" for row in rows]
    labels = [
        text if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
        for value, text in zip(values, missing, strict=True)
    ]
    axes.bar_label(bars, labels, padding=4)
    axes.margins(x=0.18)
    axes.set(title=title, xlabel=unit)
    axes.grid(visible=False, axis="y")


def _growth(what: str, rows: Rows) -> Figure:
    """Time over size, both in powers; dotted: what grows in proportion."""
    titles = {"core_step_ms": "Core, forward + backward", "train_step_ms": "Whole training step"}
    names = [name for name in titles if any(name in row for row in rows)]
    figure = Figure(figsize=(6.5 * max(1, len(names)), 5), layout="constrained")
    for panel, name in zip(
        figure.subplots(1, max(1, len(names)), squeeze=False)[0], names, strict=False
    ):
        _curves(panel, what, [row for row in rows if name in row], name)
        panel.set(title=titles[name], ylabel="ms", xlabel=what)
    return figure


def _curves(axes: Axes, what: str, rows: Rows, name: str) -> None:
    series = dict.fromkeys(row["row"] for row in rows)
    for number, label in enumerate(series):
        own = [row for row in rows if row["row"] == label]
        sizes, values = [row[what] for row in own], [row[name] for row in own]
        spreads = [row[name.removesuffix("ms") + "spread_ms"] for row in own]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(sizes, values, "o-", color=colour, label=label)
        low, high = zip(*spreads, strict=True)
        axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
        ends = (sizes[0], sizes[-1])
        proportional = [values[-1] * size / sizes[-1] for size in ends]
        axes.plot(ends, proportional, ":", color=colour, linewidth=1)
    axes.set(xscale="log", yscale="log")
    sizes = sorted({row[what] for row in rows})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)


def _parts(rows: Rows) -> Figure:
    """Parts of a step as bars, side by side."""
    names = list(dict.fromkeys(row["row"] for row in rows))
    parts = list(dict.fromkeys(row["part"] for row in rows))
    figure = Figure(figsize=(6.5 * len(names), 1 + 0.4 * len(parts)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
    for panel, name, colour in zip(panels, names, COLOURS, strict=False):
        own = [{"value": row["ms"]} for row in rows if row["row"] == name]
        _bars(panel, own, "value", name, "ms", colour)
    panels[0].set_yticks(range(len(parts)), parts)
    panels[0].invert_yaxis()
    return figure


def _memory(result: Mapping[str, Any]) -> Figure:
    rows: Rows = result["rows"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in rows], [row["resident_mb"] for row in rows], "o-")
    axes.set(title=f"Resident memory, {result['row']}", xlabel="training step", ylabel="MB")
    axes.set_ylim(0, 1.1 * max(row["resident_mb"] for row in rows))
    return figure
