"""Parallel coordinates (Inselberg 1985): an axis a parameter, a line a trial, as an ``<svg>``."""

from html import escape
from itertools import pairwise

from ..table import quality
from .axes import Axis, text
from .outcomes import Outcome, Outcomes

WIDTH, TOP, BOTTOM, SIDE = 150, 46, 24, 70
HEIGHT = 380
SPREAD = 24
"""Over how many pixels lines that meet in one value are spread, the better trials above."""

BEST, WORST = (0, 114, 178), (213, 180, 140)


def parallel_coordinates(outcomes: Outcomes) -> str:
    """The picture's text; empty if no trial has a figure yet."""
    trials = [trial for trial in outcomes.trials if trial.value is not None]
    if not trials:
        return ""
    axes = [*outcomes.axes, _measured(outcomes, trials)]
    width, height = WIDTH * (len(axes) - 1) + 2 * SIDE, TOP + HEIGHT + BOTTOM
    # The best is drawn last, above the others.
    lines = [
        _line(outcomes, axes, trials[place], place, len(trials))
        for place in reversed(range(len(trials)))
    ]
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width} {height}" role="img" font-size="12" '
            f'font-family="system-ui, sans-serif" style="min-width: {width * 0.7:.0f}px; '
            f'max-width: {width * 1.4:.0f}px" '
            f'aria-label="{escape(outcomes.name)}: parameters of each trial">',
            *lines,
            *(_axis(axis, SIDE + WIDTH * number) for number, axis in enumerate(axes)),
            "</svg>",
        ]
    )


def _measured(outcomes: Outcomes, trials: list[Outcome]) -> Axis:
    """The axis of the figures, logarithmic where they are far apart."""
    values = [trial.value for trial in trials if trial.value is not None]
    low, high = min(values), max(values)
    return Axis(f"valid {outcomes.measure}", low=low, high=high, log=0 < low * 4 < high)


def _line(outcomes: Outcomes, axes: list[Axis], trial: Outcome, place: int, number: int) -> str:
    assert trial.value is not None
    share = place / (number - 1) if number > 1 else 0.0
    points = []
    for column, axis in enumerate(axes):
        last = column == len(axes) - 1
        if not last and axis.name not in trial.parameters:
            continue
        y = _height(axis.at(trial.value if last else trial.parameters[axis.name]))
        if axis.values is not None:
            y += (share - 0.5) * SPREAD
        points.append((SIDE + WIDTH * column, y))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        path += f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    colour = ",".join(
        f"{round(best + share * (worst - best))}" for best, worst in zip(BEST, WORST, strict=True)
    )
    dashes = ' stroke-dasharray="5 4"' if trial.state != "finished" else ""
    return (
        f'<g class="line" data-trial="{trial.number}" fill="none"><title>{_title(outcomes, trial)}'
        f'</title><path d="{path}" stroke="transparent" stroke-width="12"/>'
        f'<path class="seen" d="{path}" stroke="rgb({colour})" stroke-width="1.8"{dashes}/></g>'
    )


def _title(outcomes: Outcomes, trial: Outcome) -> str:
    values = [f"{name}: {text(value)}" for name, value in trial.parameters.items()]
    figure = f"{outcomes.measure}: {quality(trial.value)}"
    state = "" if trial.state == "finished" else f" ({trial.state})"
    return escape("\n".join([f"trial {trial.number}{state}", figure, *values]))


def _axis(axis: Axis, x: int) -> str:
    parts = [
        f'<g class="axis" pointer-events="none"><line x1="{x}" x2="{x}" y1="{TOP}" '
        f'y2="{TOP + HEIGHT}" stroke="#222"/>'
        f'<text x="{x}" y="{TOP - 24}" text-anchor="middle" font-weight="600">'
        f"{escape(axis.name.replace('_', ' '))}</text>"
    ]
    for share, label in axis.ticks():
        y = _height(share)
        # White around the letters, to be read above the lines.
        parts.append(
            f'<line x1="{x - 4}" x2="{x}" y1="{y:.1f}" y2="{y:.1f}" stroke="#222"/>'
            f'<text x="{x - 8}" y="{y + 4:.1f}" text-anchor="end" stroke="#fff" stroke-width="4" '
            f'paint-order="stroke" stroke-linejoin="round">{escape(label)}</text>'
        )
    return "".join([*parts, "</g>"])


def _height(share: float) -> float:
    """The lower end of an axis is at the bottom."""
    return TOP + HEIGHT - share * HEIGHT
