"""The published speed table, measured here: all rows in one run, in interleaved rounds."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from ..ops.precision import multiplies_bfloat16
from .machine import describe
from .rows import CPU_ROWS, CUDA_ROWS, MODELS, ROWS, Case
from .subject import Subject
from .targets import speed_ratios
from .timing import Spread, Stop, interleave
from .worker import Worker

CORE_QUESTIONS = ("core_forward", "core_step", "core_floor")
CORE_STOP = Stop(seconds=2.5, least=3, most=7)
ONCE = Stop(seconds=0.0, least=1, most=1)
TRAIN_STOP = Stop(seconds=4.0, least=2, most=5)


def cases() -> list[Case]:
    """All rows that this machine can measure, at the published sizes."""
    rows = CPU_ROWS + (CUDA_ROWS if torch.cuda.is_available() else ())
    return [
        Case(row=row.name)
        for row in rows
        if row.dtype != "bfloat16" or multiplies_bfloat16(row.device)
    ]


def measure(
    cases: Sequence[Case],
    *,
    core_stop: Stop = CORE_STOP,
    train_stop: Stop = TRAIN_STOP,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure the cases against each other.

    Each is in its own process. After the checks (by then all processes are up) comes a training
    step of each for its memory, which is the warm-up of those that are timed then; last the cores.
    The products of a floor are measured once for all rows that have the same.
    A case that fails anywhere has no figures but its error.

    Returns:
        machine, rows and ratios: plain values, ready for JSON.
    """
    machine = describe()
    with contextlib.ExitStack() as stack:
        workers = {case.row: stack.enter_context(Worker(Subject, case)) for case in cases}
        answers: dict[tuple[str, str], Spread] = {}
        errors: dict[str, str] = {}
        phases = (
            (("check",), ONCE),
            (("peak_mb",), ONCE),
            (("train_step",), train_stop),
            (CORE_QUESTIONS, core_stop),
        )
        for questions, stop in phases:
            floors = {_products(case): case.row for case in cases[::-1] if case.row not in errors}
            cells = {
                (case.row, question): partial(workers[case.row].ask, question)
                for case in cases
                for question in questions
                if case.row not in errors and _has(case.row, question)
                if question != "core_floor" or floors[_products(case)] == case.row
            }
            good, bad = interleave(
                cells, stop, progress=lambda key: progress(f"{key[0]}: {key[1].replace('_', ' ')}")
            )
            answers |= good
            errors |= {row: text for (row, _), text in bad.items()}
    rows: list[dict[str, Any]] = []
    for case in cases:
        if case.row in errors:
            rows.append({"row": case.row, "error": errors[case.row]})
        else:
            own = {
                question: answer for (row, question), answer in answers.items() if row == case.row
            }
            floor = answers.get((floors[_products(case)], "core_floor"))
            rows.append(_row(case, own, floor))
    return {"machine": machine, "rows": rows, "ratios": speed_ratios(rows)}


def _has(row: str, question: str) -> bool:
    return ROWS[row].model != "plain" or question not in CORE_QUESTIONS


def _products(case: Case) -> tuple[object, ...]:
    """What the floor of a case depends on."""
    row = ROWS[case.row]
    return row.model == "rmc", row.dtype, row.device, case.shipped, str(case.overrides)


def _row(case: Case, answers: Mapping[str, Spread], floor: Spread | None) -> dict[str, Any]:
    config, core = case.config(MODELS), answers.get("core_step")
    row: dict[str, Any] = {"row": case.row}
    for question in ("core_forward", "core_step"):
        row |= milliseconds(question, answers.get(question))
    row |= milliseconds("core_floor", floor if core else None)
    row |= milliseconds("train_step", answers["train_step"])
    row["core_step_over_floor"] = core.median / floor.median if core and floor else None
    row["tokens_per_s"] = config.batch_size * config.bptt / answers["train_step"].median
    row["peak_mb"] = answers["peak_mb"].median
    return row


def milliseconds(question: str, spread: Spread | None) -> dict[str, Any]:
    """A timing as fields of a row: median, 20 % and 80 % quantile, number of samples."""
    if spread is None:
        return {f"{question}_ms": None}
    return {
        f"{question}_ms": spread.median * 1e3,
        f"{question}_spread_ms": [spread.p20 * 1e3, spread.p80 * 1e3],
        f"{question}_samples": spread.samples,
    }
