"""What a memory attends to, and its gates, over the steps of one example: picture and HTML page.

The picture follows Figure 3 of Santoro et al. (2018).
"""

import math
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..files import write_bytes, write_text
from ..inspection import Inspection
from .figures import STYLE, as_png
from .pages import make_folder, render

COLOUR_MAP = "viridis"
MATRICES = 16  # steps with an attention matrix, at most; with more steps, every 2nd, 3rd ...
STEP_WIDTH = 0.42  # inches
MAX_WIDTH = 60.0  # inches
LETTERS = 10  # per inch of a tick label
LETTER_HEIGHT = 0.1  # inches that a letter of a rotated tick label needs
LONGEST_LABEL = 12  # letters of a tick label
CAPTION_LETTERS = 12  # per inch of the caption


def write_memory(seen: Inspection, output: Path) -> tuple[Path, Path]:
    """Write ``memory.png`` and ``memory.html``.

    Args:
        seen: from :func:`..inspection.inspect`.
        output: folder to write to, created if missing; files of these two names are replaced.

    Returns:
        The paths of the picture and the page.

    Raises:
        UserError: the output cannot be written.
    """
    make_folder(output)
    picture, page = output / "memory.png", output / "memory.html"
    write_bytes(picture, as_png(draw_memory(seen)))
    write_text(page, memory_page(seen))
    return picture, page


def draw_memory(seen: Inspection) -> Figure:
    """Strips over the steps and, with several slots, the attention matrices of single steps.

    The strips show how much each slot attends to the input (mean over heads; with one slot, a row
    per head), the input gate and the forget gate of each slot, all of the last block.
    """
    slots = [str(slot) for slot in range(seen.slots)]
    weights = seen.attention[:, -1]  # [T, H, N + n, N + n]
    to_input = _attention_to_input(seen)  # [T, H, N]
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
    style: Any = {**STYLE, "axes.grid": False, "font.size": 9}
    with mpl.rc_context(style):
        matrices = 0.6 + 0.16 * seen.slots if shown else 0.0
        width = min(max(8.0, 2.5 + STEP_WIDTH * steps), MAX_WIDTH)
        caption = fill(f"Brighter means more. {what_to_see(seen)}", int(CAPTION_LETTERS * width))
        named = range(0, steps, math.ceil(STEP_WIDTH * steps / MAX_WIDTH))
        labels = [_shortened(seen.steps[step]) for step in named]
        rotation = _rotation(labels, width)
        room = LETTER_HEIGHT * max(map(len, labels)) if rotation else 0.0
        heights: list[float] = [0.6 + 0.25 * len(rows) + room for *_, rows in strips]
        figure = Figure(
            figsize=(width, sum(heights) + 2.2 * matrices + 1.0 + 0.15 * caption.count("\n")),
            layout="constrained",
        )
        figure.suptitle(seen.title)
        figure.supxlabel(caption, x=0.01, ha="left", fontsize="medium")
        upper: Any = figure
        lower: Any = None
        if shown:
            halves: Any = figure.subfigures(2, 1, height_ratios=[sum(heights), 2 * matrices])
            upper, lower = halves
        axes = upper.subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (title, what, values, rows) in zip(axes, strips, strict=True):
            image = _strip(place, title, what, values, rows)
            place.set_xticks(named, labels, rotation=rotation)
        upper.colorbar(image, ax=list(axes), shrink=0.6)
        if lower is not None:
            _matrices(lower, seen, weights.mean(dim=1)[list(shown), : seen.slots], list(shown))
    return figure


def what_to_see(seen: Inspection) -> str:
    """One sentence about the picture, measured from its figures."""
    to_input = _attention_to_input(seen).mean(dim=(1, 2))  # [T]
    most, least = int(to_input.argmax()), int(to_input.argmin())
    sentence = (
        "The memory attends most to the input at step "
        f"{most + 1}, “{seen.steps[most]}” ({to_input[most]:.2f})"
    )
    if most != least:
        sentence += (
            f", and least at step {least + 1}, “{seen.steps[least]}” ({to_input[least]:.2f})"
        )
    if seen.input_gate is not None and seen.forget_gate is not None:
        sentence += (
            f"; its input gate averages {seen.input_gate.mean():.2f} (1 writes the whole candidate "
            f"memory) and its forget gate {seen.forget_gate.mean():.2f} (1 keeps the whole "
            "previous memory)"
        )
    return sentence + "."


def memory_page(seen: Inspection) -> str:
    """The HTML page: a slider over the steps, with the attention of all heads and the gates."""
    inputs = seen.attention.shape[-1] - seen.slots
    names = ["input"] if inputs == 1 else [f"input {row}" for row in range(inputs)]
    data = {
        "rows": [*(f"slot {slot}" for slot in range(seen.slots)), *names],
        "attention": _thousandths(seen.attention),
        "input_gate": _thousandths(seen.input_gate),
        "forget_gate": _thousandths(seen.forget_gate),
    }
    return render(
        "memory.html", title=seen.title, caption=what_to_see(seen), steps=seen.steps, data=data
    )


def _attention_to_input(seen: Inspection) -> Tensor:
    """The weights of the last block from slots to all input rows, ``[T, H, N]``."""
    return seen.attention[:, -1, :, : seen.slots, seen.slots :].sum(dim=-1)


def _strip(axes: Axes, title: str, what: str, values: Tensor, rows: list[str]) -> Any:
    axes.set_title(title, loc="left")
    axes.set_ylabel(what)
    axes.set_yticks(range(len(rows)), rows)
    return axes.imshow(values.T.numpy(), cmap=COLOUR_MAP, vmin=0, vmax=1, aspect="auto")


def _matrices(figure: Any, seen: Inspection, weights: Tensor, shown: list[int]) -> None:
    figure.suptitle(
        "attention of each slot (row) to the slots and to the input (column “in”), mean over heads",
        x=0.01,
        ha="left",
    )
    places = figure.subplots(2, -(-len(shown) // 2), squeeze=False).flatten()
    for axes in places:
        axes.set_axis_off()
    for axes, step, matrix in zip(places, shown, weights, strict=False):
        axes.set_axis_on()
        axes.imshow(matrix.numpy(), cmap=COLOUR_MAP, vmin=0, vmax=1, aspect="auto")
        axes.set_title(seen.steps[step])
        axes.set_xticks([seen.slots], ["in"])
        axes.set_yticks(range(seen.slots), [f"slot {slot}" for slot in range(seen.slots)])
        axes.tick_params(axis="y", labelsize="x-small")


def _shortened(step: str) -> str:
    return step if len(step) <= LONGEST_LABEL else f"{step[: LONGEST_LABEL - 1]}…"


def _rotation(steps: list[str], width: float) -> int:
    return 60 if max(len(step) for step in steps) > LETTERS * width / len(steps) else 0


def _thousandths(values: Tensor | None) -> Any:
    """Nested lists of integers; small in a page, with three decimals left."""
    return None if values is None else (values * 1000).round().to(torch.int64).tolist()
