"""How cost grows with one size, all others at their published values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .cases import FASTEST_LSTM, FASTEST_RMC, WIKITEXT2, WIKITEXT103, Case
from .measurement import Measurement, Progress, Result
from .speed import TimedCase
from .tables import SPREAD_NOTE, Row, Table, number, ratio, table, text, timing
from .timing import ONCE, Spread, Stop, interleave

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STOP = Stop(seconds=2.0, least=3, most=7)
METRICS = ("core_step", "train_step")
HEADERS = {"core_step": "core forward + backward, ms", "train_step": "training step, ms"}
TITLES = {"core_step": "Core, forward + backward", "train_step": "Whole training step"}
RMC, LSTM = FASTEST_RMC.name, FASTEST_LSTM.name


class Point(NamedTuple):
    """One measured size of a curve."""

    series: str
    size: int
    case: Case


def _series(field: str, sizes: Sequence[int], *names: str) -> list[Point]:
    return [
        Point(name, size, Case(name=name, overrides={field: size}))
        for name in names
        for size in sizes
    ]


def _heads(number: int) -> Case:
    widths = {"num_heads": number, "head_size": 768 // number, "key_size": 256 // number}
    return Case(name=RMC, overrides=widths)


def _vocabulary(head: str, sizes: Sequence[int]) -> list[Point]:
    return [
        Point(
            f"{head} softmax",
            size,
            Case(name=RMC, vocabulary_size=size, overrides={"head": head}),
        )
        for size in sizes
    ]


POINTS: Mapping[str, list[Point]] = {
    "slots": _series("mem_slots", (1, 2, 4, 8), RMC),
    "batch": _series("batch_size", (8, 16, 32, 64, 128), RMC, LSTM),
    "time": _series("bptt", (25, 50, 100, 200, 400), RMC, LSTM),
    "vocabulary": [
        *_vocabulary("full", (8_192, WIKITEXT2, 100_000)),
        *_vocabulary("adaptive", (8_192, WIKITEXT2, 100_000, WIKITEXT103)),
    ],
    "heads": [Point(RMC, number, _heads(number)) for number in (1, 2, 4, 8, 16)],
}
"""The points by size. More heads are narrower: the memory stays 768 wide."""


def measure(
    what: str, points: Sequence[Point] | None = None, *, stop: Stop = STOP, progress: Progress
) -> dict[str, Any]:
    """Measure the points in interleaved rounds, all in this process.

    Args:
        what: the size, a key of `POINTS`. For the vocabulary, the core is not measured.
        points: ``POINTS[what]`` by default.
        stop: when a metric of a point has enough samples.
        progress: called with what is being measured.

    Returns:
        grow (the size), rows and ratios.
    """
    points = POINTS[what] if points is None else points
    subjects = {(point.series, point.size): TimedCase(point.case) for point in points}
    metrics = METRICS[1:] if what == "vocabulary" else METRICS

    def tell(key: tuple[str, int, str]) -> None:
        progress(f"{key[0]}, {what} {key[1]:,}: {key[2].replace('_', ' ')}")

    errors: dict[tuple[str, int], str] = {}
    answers: dict[tuple[str, int, str], Spread] = {}
    # The step that is measured for memory is the warm-up of those that are timed.
    for phase, until in ((("check",), ONCE), (("peak_mb",), ONCE), (metrics, stop)):
        cells = {
            (*key, metric): getattr(subject, metric)
            for metric in phase
            for key, subject in subjects.items()
            if key not in errors
        }
        good, bad = interleave(cells, until, progress=tell)
        answers |= good
        errors |= {key[:2]: message for key, message in bad.items()}
    rows: list[dict[str, Any]] = []
    for series, size in subjects:
        row: dict[str, Any] = {"row": series, what: size}
        if (series, size) in errors:
            row["error"] = errors[series, size]
        else:
            for metric in metrics:
                row |= answers[series, size, metric].fields(metric, "ms")
            row["peak_mb"] = answers[series, size, "peak_mb"].median
        rows.append(row)
    return {"grow": what, "rows": rows, "ratios": ratios(what, rows)}


def ratios(what: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The targets of a size whose figures are in the rows."""
    by_point = {(row["row"], row[what]): row for row in rows}

    def quotient(name: str, above: tuple[str, int], below: tuple[str, int]) -> float | None:
        over, under = (by_point.get(point, {}).get(name) for point in (above, below))
        return over / under if over and under else None

    found: list[tuple[str, float | None, float]] = []
    if what == "slots":
        for name, part in (("core_step_ms", "core"), ("train_step_ms", "training step")):
            found.append((f"{part}: four slots / one", quotient(name, (RMC, 4), (RMC, 1)), 2.5))
    elif what == "time":
        for metric in METRICS:
            value = quotient(f"{metric}_ms", (RMC, 400), (RMC, 100))
            deviation = None if value is None else abs(value / 4 - 1)
            found.append((f"{metric.replace('_', ' ')}: |T=400 / (4 x T=100) - 1|", deviation, 0.1))
    elif what == "vocabulary":
        adaptive, full = ("adaptive softmax", WIKITEXT103), ("full softmax", WIKITEXT2)
        name = f"training step: adaptive, {WIKITEXT103:,} words / full, {WIKITEXT2:,}"
        found.append((name, quotient("train_step_ms", adaptive, full), 2))
    return [ratio(name, value, at_most=most) for name, value, most in found if value is not None]


def tables(result: Result) -> list[Table]:
    """One table, a row for each point."""
    rows = result["rows"]
    columns = {
        "row": text("row"),
        result["grow"]: number(result["grow"]),
        **{HEADERS[metric]: timing(f"{metric}_ms") for metric in _metrics(rows)},
        "peak, MB": number("peak_mb"),
    }
    return [table(rows, columns)]


def _metrics(rows: Sequence[Row]) -> list[str]:
    """The metrics that any row has."""
    return [metric for metric in METRICS if any(f"{metric}_ms" in row for row in rows)]


def draw(result: Result) -> "Figure":
    """Time over size, both logarithmic; dotted lines are proportional to the size."""
    from matplotlib.figure import Figure

    rows, metrics = result["rows"], _metrics(result["rows"])
    count = max(1, len(metrics))
    figure = Figure(figsize=(6.5 * count, 5), layout="constrained")
    for panel, metric in zip(figure.subplots(1, count, squeeze=False)[0], metrics, strict=False):
        _curves(panel, result["grow"], [row for row in rows if f"{metric}_ms" in row], metric)
        panel.set(title=TITLES[metric], ylabel="ms", xlabel=result["grow"])
    return figure


def _curves(axes: "Axes", what: str, rows: Sequence[Row], metric: str) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    from .pictures import COLOURS

    for place, label in enumerate(dict.fromkeys(row["row"] for row in rows)):
        own = [row for row in rows if row["row"] == label]
        sizes, values = [row[what] for row in own], [row[f"{metric}_ms"] for row in own]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(sizes, values, "o-", color=colour, label=label)
        low, high = zip(*(row[f"{metric}_spread_ms"] for row in own), strict=True)
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


MEASUREMENT = Measurement(
    kind="growth", measure=measure, tables=tables, note=lambda result: SPREAD_NOTE, draw=draw
)
