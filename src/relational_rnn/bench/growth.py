"""How cost grows: one size after another made larger, everything else at its published value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .machine import describe
from .rows import FASTEST_LSTM, FASTEST_RMC, Case
from .speed import ONCE, milliseconds
from .subject import Subject
from .targets import verdict
from .timing import Spread, Stop, interleave

STOP = Stop(seconds=2.0, least=3, most=7)
BOTH = ("core_step", "train_step")
WIKITEXT2, WIKITEXT103 = 33_278, 267_735


class Point(NamedTuple):
    """One measured size of a series."""

    series: str
    size: int
    case: Case


def _series(field: str, sizes: Sequence[int], *rows: str) -> list[Point]:
    return [
        Point(row, size, Case(row=row, overrides={field: size})) for row in rows for size in sizes
    ]


def _heads(number: int) -> Case:
    widths = {"num_heads": number, "head_size": 768 // number, "key_size": 256 // number}
    return Case(row=FASTEST_RMC.name, overrides=widths)


def _vocabulary(head: str, sizes: Sequence[int]) -> list[Point]:
    return [
        Point(
            f"{head} softmax",
            size,
            Case(row=FASTEST_RMC.name, vocabulary_size=size, overrides={"head": head}),
        )
        for size in sizes
    ]


RMC, LSTM = FASTEST_RMC.name, FASTEST_LSTM.name
GROWTH: Mapping[str, list[Point]] = {
    "slots": _series("mem_slots", (1, 2, 4, 8), RMC),
    "batch": _series("batch_size", (8, 16, 32, 64, 128), RMC, LSTM),
    "time": _series("bptt", (25, 50, 100, 200, 400), RMC, LSTM),
    "vocabulary": [
        *_vocabulary("full", (8_192, WIKITEXT2, 100_000)),
        *_vocabulary("adaptive", (8_192, WIKITEXT2, 100_000, WIKITEXT103)),
    ],
    "heads": [Point(RMC, number, _heads(number)) for number in (1, 2, 4, 8, 16)],
}
"""What can grow, and the points of its curves; more heads are narrower, the memory stays 768."""


def measure(
    what: str,
    points: Sequence[Point],
    *,
    stop: Stop = STOP,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure the points in interleaved rounds.

    Args:
        what: a name in `GROWTH`; the vocabulary has no core to measure.
        points: usually ``GROWTH[what]``.
        stop: when a point has enough samples.
        progress: told what is being measured.

    Returns:
        machine, grow, rows and ratios: plain values, ready for JSON.
    """
    machine = describe()
    subjects = {(point.series, point.size): Subject(point.case) for point in points}
    questions = BOTH[1:] if what == "vocabulary" else BOTH

    def tell(key: tuple[str, int, str]) -> None:
        progress(f"{key[0]}, {what} {key[1]:,}: {key[2].replace('_', ' ')}")

    failed: dict[tuple[str, int], str] = {}
    answers: dict[tuple[str, int, str], Spread] = {}
    # As in the speed table: proof, then memory, whose step is the warm-up, then time.
    for phase, until in ((("check",), ONCE), (("peak_mb",), ONCE), (questions, stop)):
        cells = {
            (*key, question): getattr(subject, question)
            for question in phase
            for key, subject in subjects.items()
            if key not in failed
        }
        good, bad = interleave(cells, until, progress=tell)
        answers |= good
        failed |= {key[:2]: text for key, text in bad.items()}
    rows: list[dict[str, Any]] = []
    for series, size in subjects:
        row: dict[str, Any] = {"row": series, what: size}
        if (series, size) in failed:
            row["error"] = failed[series, size]
        else:
            for question in questions:
                row |= milliseconds(question, answers[series, size, question])
            row["peak_mb"] = answers[series, size, "peak_mb"].median
        rows.append(row)
    return {"machine": machine, "grow": what, "rows": rows, "ratios": ratios(what, rows)}


def ratios(what: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What growth is meant to stay below, where the rows that it takes are there."""

    def figure(series: str, size: int, name: str) -> float | None:
        for row in rows:
            if (row["row"], row[what]) == (series, size):
                return row.get(name)
        return None

    found = []
    if what == "slots":
        for name, text in (("core_step_ms", "core"), ("train_step_ms", "training step")):
            one, four = (figure(RMC, size, name) for size in (1, 4))
            if one and four:
                found.append(verdict(f"{text}: four slots / one", four / one, 2.5, at_most=True))
    if what == "time":
        for series, name in ((RMC, "core_step_ms"), (RMC, "train_step_ms")):
            short, long = (figure(series, size, name) for size in (100, 400))
            if short and long:
                part = name.removesuffix("_ms").replace("_", " ")
                text = f"{part}: |T=400 / (4 x T=100) - 1|"
                found.append(verdict(text, abs(long / (4 * short) - 1), 0.1, at_most=True))
    if what == "vocabulary":
        full = figure("full softmax", WIKITEXT2, "train_step_ms")
        adaptive = figure("adaptive softmax", WIKITEXT103, "train_step_ms")
        if full and adaptive:
            text = f"training step: adaptive, {WIKITEXT103:,} words / full, {WIKITEXT2:,}"
            found.append(verdict(text, adaptive / full, 2, at_most=True))
    return found
