"""The measurement: models with each head, then one real step of the first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..growth import WIKITEXT103
from ..machine import describe
from ..rows import FASTEST_RMC, MODELS, ROWS, Case
from ..speed import ONCE
from ..timing import Spread, Stop, interleave
from ..worker import RowError, Worker
from .derived import derive
from .subject import LargeTraining

CONFIG = "wikitext103-rmc-paper"
CASES: Mapping[str, Case] = {
    f"{head} softmax": Case(
        row=FASTEST_RMC.name,
        shipped=CONFIG,
        vocabulary_size=WIKITEXT103,
        overrides={"head": head},
    )
    for head in ("full", "adaptive")
}
"""The model with each head by name; the first is the configuration's own."""

MICRO_BATCHES = (4, 8, 16, 32)
DEVICES = (1, 2, 4, 8)
STOP = Stop(seconds=10.0, least=3, most=5)

Row = dict[str, Any]
Progress = Callable[[str], None]


def measure(
    cases: Mapping[str, Case] = CASES,
    *,
    micro_batches: Sequence[int] = MICRO_BATCHES,
    devices: Sequence[int] = DEVICES,
    stop: Stop = STOP,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Measure each model in a process of its own, one after the other, then a step of the first.

    The step is made in the largest of the micro-batches that was measured and divides the batch.

    Args:
        cases: the models, by name.
        micro_batches: numbers of streams that forward and backward is measured for.
        devices: numbers of devices that memory is derived for.
        stop: when a figure has enough samples.
        progress: told what is being measured.

    Returns:
        machine, scale (what it is about), rows (measured) and derived: plain values for JSON.
    """
    machine = describe()
    rows: list[Row] = []
    for name, case in cases.items():
        with Worker(LargeTraining, case) as worker:
            rows += _model(name, worker, micro_batches, case.config(MODELS).bptt, stop, progress)
    name, case = next(iter(cases.items()))
    rows.append(_step(name, case, rows, progress))
    config = case.config(MODELS)
    about = {
        "config": config.name,
        "vocabulary": case.vocabulary_size,
        "batch_size": config.batch_size,
        "bptt": config.bptt,
        "optimizer": config.optimizer,
        "dtype": ROWS[case.row].dtype,
    }
    derived = derive(rows, devices=devices, batch_size=config.batch_size)
    return {"machine": machine, "scale": about, "rows": rows, "derived": derived}


def _model(
    name: str,
    worker: Worker,
    micro_batches: Sequence[int],
    bptt: int,
    stop: Stop,
    progress: Progress,
) -> list[Row]:
    """A row of the model, and one for each micro-batch."""
    model: Row = {"row": name, "kind": "model"}
    try:
        progress(f"{name}: check")
        worker.ask("check")
        progress(f"{name}: sizes")
        model |= worker.ask("sizes")
    except RowError as error:
        return [{**model, "error": str(error)}]

    def tell(key: tuple[str, int]) -> None:
        question, streams = key
        progress(f"{name}: {question.replace('_', ' ')}" + (f", {streams} streams" * bool(streams)))

    answers: dict[tuple[str, int], Spread] = {}
    failed: dict[int, str] = {}
    # The step for the memory is the warm-up of those that are timed.
    for question, until in (("peak_mb", ONCE), ("forward_backward", stop)):
        cells: dict[tuple[str, int], Callable[[], float]] = {
            (question, streams): partial(worker.ask, question, streams)
            for streams in micro_batches
            if streams not in failed
        }
        if until is stop:
            cells["update", 0] = partial(worker.ask, "update")
        good, bad = interleave(cells, until, progress=tell)
        answers |= good
        failed |= {streams: text for (_, streams), text in bad.items()}
    model |= {"error": failed[0]} if 0 in failed else _seconds("update", answers["update", 0])
    rows = [model]
    for streams in micro_batches:
        row: Row = {"row": name, "kind": "micro-batch", "streams": streams}
        if streams in failed:
            row["error"] = failed[streams]
        else:
            spread = answers["forward_backward", streams]
            row |= _seconds("forward_backward", spread)
            row["tokens_per_s"] = streams * bptt / spread.median
            row["peak_mb"] = answers["peak_mb", streams].median
        rows.append(row)
    return rows


def _step(name: str, case: Case, rows: Sequence[Row], progress: Progress) -> Row:
    """One whole step, really made."""
    config = case.config(MODELS)
    row: Row = {"row": name, "kind": "step", "streams": config.batch_size}
    sizes = [
        one["streams"]
        for one in rows
        if (one["row"], one["kind"]) == (name, "micro-batch")
        and "error" not in one
        and config.batch_size % one["streams"] == 0
    ]
    if not sizes:
        return {**row, "error": "no micro-batch that divides the batch was measured"}
    row["micro_batch"] = max(sizes)
    overrides = {**case.overrides, "micro_batch_size": row["micro_batch"]}
    progress(f"{name}: a whole step, {config.batch_size} streams, {row['micro_batch']} at a time")
    with Worker(LargeTraining, replace(case, overrides=overrides)) as worker:
        try:
            row |= worker.ask("whole_step")
        except RowError as error:
            return {**row, "error": str(error)}
    row["tokens_per_s"] = config.batch_size * config.bptt / row["seconds"]
    return row


def _seconds(question: str, spread: Spread) -> Row:
    return {
        f"{question}_s": spread.median,
        f"{question}_spread_s": [spread.p20, spread.p80],
        f"{question}_samples": spread.samples,
    }
