"""Parallel coordinates (Inselberg 1985) as an SVG: an axis per parameter, a line per trial."""

from itertools import pairwise
from typing import Any

from markupsafe import Markup

from .formatting import field_value, quality
from .outcomes import Axis, Outcome, Outcomes
from .pages import render

WIDTH, TOP, BOTTOM, SIDE = 150, 46, 24, 70  # pixels: between axes, and the margins
HEIGHT = 380
SPREAD = 24  # pixels over which lines that meet in one value are spread, better trials above


def parallel_coordinates(outcomes: Outcomes) -> Markup:
    """The ``<svg>`` element; empty if no trial has a result yet."""
    trials = [trial for trial in outcomes.trials if trial.value is not None]
    if not trials:
        return Markup()
    axes = [*outcomes.axes, _measured(outcomes, trials)]
    # The best trial is drawn last, above the others.
    lines = [
        _line(outcomes, axes, trials[place], place / max(1, len(trials) - 1))
        for place in reversed(range(len(trials)))
    ]
    picture = render(
        "parallel_coordinates.svg",
        name=outcomes.name,
        width=WIDTH * (len(axes) - 1) + 2 * SIDE,
        height=TOP + HEIGHT + BOTTOM,
        top=TOP,
        bottom=TOP + HEIGHT,
        lines=lines,
        axes=[
            {
                "name": axis.name.replace("_", " "),
                "x": SIDE + WIDTH * number,
                "ticks": [(_y(share), label) for share, label in axis.ticks()],
            }
            for number, axis in enumerate(axes)
        ],
    )
    return Markup(picture)


def _measured(outcomes: Outcomes, trials: list[Outcome]) -> Axis:
    """The axis of the results, logarithmic if they are far apart."""
    values = [trial.value for trial in trials if trial.value is not None]
    low, high = min(values), max(values)
    return Axis(f"valid {outcomes.measure}", low=low, high=high, log=0 < low * 4 < high)


def _line(outcomes: Outcomes, axes: list[Axis], trial: Outcome, share: float) -> dict[str, Any]:
    """A trial as a curve; ``share`` is its rank, from 0 for the best to 1 for the worst."""
    assert trial.value is not None
    points = []
    for column, axis in enumerate(axes):
        last = column == len(axes) - 1
        if not last and axis.name not in trial.parameters:
            continue
        y = _y(axis.at(trial.value if last else trial.parameters[axis.name]))
        if axis.values is not None:
            y += (share - 0.5) * SPREAD
        points.append((SIDE + WIDTH * column, y))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        path += f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    return {
        "number": trial.number,
        "title": _title(outcomes, trial),
        "path": path,
        "quality": round(100 * (1 - share)),
        "dashed": trial.state != "finished",
    }


def _title(outcomes: Outcomes, trial: Outcome) -> str:
    values = [f"{name}: {field_value(value)}" for name, value in trial.parameters.items()]
    figure = f"{outcomes.measure}: {quality(trial.value)}"
    state = "" if trial.state == "finished" else f" ({trial.state})"
    return "\n".join([f"trial {trial.number}{state}", figure, *values])


def _y(share: float) -> float:
    """The y coordinate of a position on an axis, whose lower end is at the bottom."""
    return TOP + HEIGHT - share * HEIGHT
