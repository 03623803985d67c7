"""Attention and gates over the steps of one example, as a picture (the paper's Figure 3)."""

import math
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..inspection import Inspection
from .picture import STYLE

COLOURS = "viridis"
MATRICES = 16  # steps whose whole attention is drawn; of more steps, every second, third ...
INCH = 0.42  # for a step
WIDEST = 60.0  # inches
LETTERS = 10  # in an inch


def draw_memory(seen: Inspection) -> Figure:
    """Strips over the steps, and, with several slots, the whole attention of single steps.

    The strips: how much each slot attends to the input (the mean of its heads; with one slot, a
    row for each head), and the input and the forget gate of each slot. All are those of the last
    block.
    """
    slots = [str(slot) for slot in range(seen.slots)]
    weights = seen.attention[:, -1]  # [T, H, N + n, N + n]
    to_input = weights[:, :, : seen.slots, seen.slots :].sum(dim=-1)  # [T, H, N]
    strips: list[tuple[str, str, Tensor, list[str]]] = []
    if seen.slots > 1:
        strips.append(("attention to the input", "slot", to_input.mean(dim=1), slots))
    else:
        heads = [str(head) for head in range(weights.shape[1])]
        strips.append(("attention to the input", "head", to_input[:, :, 0], heads))
    for name, gate in (("input gate", seen.input_gate), ("forget gate", seen.forget_gate)):
        if gate is not None:
            strips.append((name, "slot", gate, slots))
    steps = len(seen.steps)
    every = -(-steps // MATRICES)
    shown = range(0, steps, every) if seen.slots > 1 else range(0)
    heights: list[float] = [0.6 + 0.25 * len(rows) for *_, rows in strips]
    style: Any = {**STYLE, "axes.grid": False, "font.size": 9}
    with mpl.rc_context(style):
        matrices = 0.6 + 0.16 * seen.slots if shown else 0.0
        size = (min(max(8.0, 2.5 + INCH * steps), WIDEST), sum(heights) + 2.2 * matrices + 1.0)
        named = range(0, steps, math.ceil(INCH * steps / WIDEST))
        labels = [seen.steps[step] for step in named]
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(seen.title)
        upper: Any = figure
        lower: Any = None
        if shown:
            halves: Any = figure.subfigures(2, 1, height_ratios=[sum(heights), 2 * matrices])
            upper, lower = halves
        axes = upper.subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (title, what, values, rows) in zip(axes, strips, strict=True):
            image = _strip(place, title, what, values, rows)
            place.set_xticks(named, labels, rotation=_rotation(labels, size[0]))
        upper.colorbar(image, ax=list(axes), shrink=0.6)
        if lower is not None:
            _matrices(lower, seen, weights.mean(dim=1)[list(shown), : seen.slots], list(shown))
    return figure


def _strip(axes: Axes, title: str, what: str, values: Tensor, rows: list[str]) -> Any:
    axes.set_title(title, loc="left")
    axes.set_ylabel(what)
    axes.set_yticks(range(len(rows)), rows)
    return axes.imshow(values.T.numpy(), cmap=COLOURS, vmin=0, vmax=1, aspect="auto")


def _matrices(figure: Any, seen: Inspection, weights: Tensor, shown: list[int]) -> None:
    figure.suptitle(
        "who attends (down) to whom (across), mean of the heads; in: the input",
        x=0.01,
        ha="left",
    )
    places = figure.subplots(2, -(-len(shown) // 2), squeeze=False).flatten()
    for axes in places:
        axes.set_axis_off()
    for axes, step, matrix in zip(places, shown, weights, strict=False):
        axes.set_axis_on()
        axes.imshow(matrix.numpy(), cmap=COLOURS, vmin=0, vmax=1, aspect="auto")
        axes.set_title(seen.steps[step])
        axes.set_xticks([seen.slots], ["in"])
        axes.set_yticks([])


def _rotation(steps: list[str], width: float) -> int:
    return 60 if max(len(step) for step in steps) > LETTERS * width / len(steps) else 0


def rounded(values: Tensor | None) -> Any:
    """Nested lists of three decimals, for a page."""
    return None if values is None else (values * 1000).round().to(torch.int64).tolist()
