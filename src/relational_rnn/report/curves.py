"""Learning curves of several runs as one figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    LogLocator,
    NullFormatter,
    PercentFormatter,
    ScalarFormatter,
)

from ..tasks.nth_farthest import plateaus
from .figures import COLOURS, STYLE
from .record import Record, labels

LINES = ("-", "--", ":", "-.")
MARKED = 40  # validation curves with at most this many points get markers
NARROW = 5  # perplexities within this factor of each other are drawn on a linear axis
LARGEST = 1_000_000  # numbers in an example up to which the plateaus are simulated
UNITS = ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"))


def draw(records: Sequence[Record]) -> Figure:
    """Training loss, then the validation measure over tokens and over time, a line for each run.

    Args:
        records: runs of one task, at least one.
    """
    measure = records[0].measure
    amount = "tokens" if any("tokens" in record.metrics for record in records) else "step"
    size, unit = _time_unit(records)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 5), layout="constrained")
        train, over_amount, over_time = figure.subplots(1, 3)
        _curves(train, records, amount, "train_loss")
        _curves(over_amount, records, amount, f"valid_{measure}", marker="o")
        _curves(over_time, records, "seconds", f"valid_{measure}", x_unit=size, marker="o")
        train.set(title="Training loss", ylabel="nats")
        over_amount.set(title=f"Validation {measure}", ylabel=measure)
        over_time.set(title=f"Validation {measure} over time", ylabel=measure)
        over_time.set_xlabel(f"{unit} of training")
        for axes in (train, over_amount):
            axes.set_xlabel("tokens trained on" if amount == "tokens" else "steps")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        for axes in (over_amount, over_time):
            if measure == "perplexity":
                _scale(axes, [y for r in records for y in r.curve("step", "valid_perplexity")[1]])
            else:
                axes.yaxis.set_major_formatter(PercentFormatter(1.0))
                _plateaus(axes, records)
        numbers = [str(number) for number in range(len(records))]
        legend = figure.legend(
            train.lines, numbers, loc="outside lower center", ncols=3, frameon=False
        )
        # A name given as a label would be left out if it began with an underscore.
        for text, name in zip(legend.get_texts(), _names(records), strict=True):
            text.set_text(name)
    return figure


def _curves(
    axes: Axes,
    records: Sequence[Record],
    x: str,
    y: str,
    *,
    x_unit: float = 1.0,
    marker: str | None = None,
) -> None:
    for record, (colour, line) in zip(records, _looks(records), strict=True):
        xs, ys = record.curve(x, y)
        axes.plot(
            [x / x_unit for x in xs],
            ys,
            color=colour,
            linestyle=line,
            linewidth=1.8,
            marker=marker if len(xs) <= MARKED else None,
            markersize=4,
        )
    axes.set_xlim(left=0)


def _looks(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Colour and line style of each run; seeds of one configuration share a colour."""
    groups: list[dict[str, Any]] = []
    members: list[int] = []
    found = []
    for record in records:
        own = {name: x for name, x in record.config.items() if name not in ("seed", "threads")}
        if own not in groups:
            groups.append(own)
            members.append(0)
        group = groups.index(own)
        # after every run of COLOURS the styles are shifted, so that no two groups look alike
        style = members[group] + group // len(COLOURS)
        found.append((COLOURS[group % len(COLOURS)], LINES[style % len(LINES)]))
        members[group] += 1
    return found


def _names(records: Sequence[Record]) -> list[str]:
    """The name of each run, with its best validation."""
    return [
        label if record.best is None else f"{label}  (best {record.measure} {record.best:.4g})"
        for record, label in zip(records, labels(records), strict=True)
    ]


def _plateaus(axes: Axes, records: Sequence[Record]) -> None:
    """Mark the accuracies of Nth farthest that need no comparison of vectors.

    Runs stay there for long, and may still leave them later.
    """
    if records[0].config.get("task") != "nth-farthest":
        return
    sizes = [(record.config.get("objects"), record.config.get("features")) for record in records]
    objects, features = sizes[0]
    if any(size != sizes[0] for size in sizes):
        return
    if not isinstance(objects, int) or not isinstance(features, int):
        return
    if objects < 2 or features < 1 or objects * features > LARGEST:
        return
    found = plateaus(objects, features)
    for value, name in (
        (found.answer_m, "answers m, else guesses"),
        (found.norm_only, "ranks by length alone"),
    ):
        axes.axhline(value, color="#777777", linestyle=":", linewidth=1.2)
        axes.annotate(
            f"{name}: {value:.1%}",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color="#555555",
        )


def _time_unit(records: Sequence[Record]) -> tuple[float, str]:
    longest = max(max(record.curve("seconds", "step")[0], default=0.0) for record in records)
    return next((unit for unit in reversed(UNITS) if longest >= 2 * unit[0]), UNITS[0])


def _scale(axes: Axes, perplexities: Sequence[float]) -> None:
    if perplexities and max(perplexities) > NARROW * min(perplexities) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
