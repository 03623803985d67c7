"""Accuracy of each core against the difficulty of the questions, a panel for each task."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..report.figures import COLOURS, STYLE
from .results import Row

MARKERS = ("o", "s", "^", "D", "v")
WIDEST = 4.0  # points


def draw(rows: Sequence[Row]) -> Figure:
    """The median over the seeds as a line, and the range of the seeds as a band.

    Where a task has kinds of question of two sorts, the first one is shown.

    Args:
        rows: of a comparison; those without results are left out.
    """
    tasks = list(dict.fromkeys(row.task for row in rows))
    cores = list(dict.fromkeys(row.core for row in rows))
    columns = min(2, len(tasks))
    lines = -(-len(tasks) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7 * columns, 0.6 + 3.6 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for axes, task in zip(panels, tasks, strict=False):
            axes.set(title=task, ylabel="accuracy", ylim=(-0.02, 1.02))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            for row in rows:
                if row.task != task or not row.by_difficulty:
                    continue
                number = cores.index(row.core)
                keys = row.by_difficulty[0][0].keys()  # not the steps of m, nor the places
                kinds = [kind for kind in row.by_difficulty if kind[0].keys() == keys]
                labels = [label for label, _ in kinds]
                found = [each for _, each in kinds]
                places = list(range(len(found)))
                colour = COLOURS[number % len(COLOURS)]
                axes.plot(
                    places,
                    [each.value for each in found],
                    color=colour,
                    marker=MARKERS[number % len(MARKERS)],
                    # Thinner from core to core: one upon another, all can be seen.
                    linewidth=WIDEST / (1 + 0.5 * number),
                    markersize=2 * WIDEST / (1 + 0.25 * number),
                    label=row.core,
                )
                axes.fill_between(
                    places,
                    [each.lowest for each in found],
                    [each.highest for each in found],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
                axes.set_xticks(places, [_tick(each) for each in labels])
                axes.set_xlabel("" if len(labels[0]) > 1 else next(iter(labels[0])))
        for axes in panels[len(tasks) :]:
            axes.remove()
        found_lines = {
            str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()
        }
        if found_lines:
            figure.legend(
                list(found_lines.values()),
                list(found_lines),
                loc="outside lower center",
                ncols=len(found_lines),
                frameon=False,
            )
    return figure


def _tick(label: dict[str, int]) -> str:
    """The difficulty at a place of the axis, with names if it has several numbers."""
    if len(label) == 1:
        return str(next(iter(label.values())))
    return "\n".join(f"{name} {value}" for name, value in label.items())
