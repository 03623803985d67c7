"""The published speed table: all variants in one run, in interleaved rounds."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..ops.precision import multiplies_bfloat16
from ..ops.relational_memory.native import build
from . import process_memory
from .cases import (
    BASELINE,
    CPU_VARIANTS,
    CUDA_VARIANTS,
    FUSED,
    FUSED_BFLOAT16,
    LSTM,
    LSTM_BFLOAT16,
    MODELS,
    NATIVE,
    NATIVE_BFLOAT16,
    REFERENCE,
    Case,
)
from .check import check
from .measurement import Measurement, Progress, Result
from .tables import SPREAD_NOTE, Row, Table, number, ratio, table, text, timing
from .timing import ONCE, Spread, Stop, Times, interleave, timed
from .work import Core, Floor, Training
from .worker import Worker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORE_METRICS = ("core_forward", "core_step", "core_floor")
CORE_STOP = Stop(seconds=2.5, least=2, most=7, spread=0.02)
TRAIN_STOP = Stop(seconds=2.5, least=2, most=5, spread=0.02)


def published_cases() -> list[Case]:
    """The variants that this machine supports, at the published sizes. Compiles the native core."""
    variants = CPU_VARIANTS + (CUDA_VARIANTS if torch.cuda.is_available() else ())
    return [
        Case(name=variant.name)
        for variant in variants
        if variant.dtype != "bfloat16" or multiplies_bfloat16(variant.device)
        if variant.backend != "native" or build.why_not() is None
        if variant is not NATIVE_BFLOAT16 or build.multiplies_bfloat16()
    ]


class TimedCase:
    """A case under measurement: a method for each metric. Work is made and warmed up on first use.

    Call :meth:`check` first, then :meth:`peak_mb`: memory is measured in a process that has done
    little else, and that training step is the warm-up of :meth:`train_step`.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = case.variant.device

    @cached_property
    def core(self) -> Core:
        """The core, after one step: its memory is allocated."""
        core = Core(self.case)
        core.step()
        return core

    @cached_property
    def floor(self) -> Floor:
        """The core's matrix products, after one run."""
        floor = Floor(self.core)
        floor.step()
        return floor

    @cached_property
    def training(self) -> Training:
        """The whole model, after a step of length one: the optimizer's state is allocated."""
        training = Training(self.case)
        training.step(length=1)
        return training

    def check(self) -> Times:
        """Compare core and model with the reference; return the time that it took.

        Raises:
            ArithmeticError: they differ.
        """
        return timed(lambda: check(self.case), self.device)

    def core_forward(self) -> Times:
        """The time of the core's forward pass."""
        return timed(self.core.forward, self.device)

    def core_step(self) -> Times:
        """The time of the core's forward and backward pass."""
        return timed(self.core.step, self.device)

    def core_floor(self) -> Times:
        """The time of the matrix products of :meth:`core_step`."""
        return timed(self.floor.step, self.device)

    def train_step(self) -> Times:
        """The time of a whole training step."""
        return timed(self.training.step, self.device)

    def peak_mb(self) -> float:
        """Peak megabytes of a training step, above the process with weights and optimizer state."""
        return process_memory.peak_during(self.training.step, self.device)


def measure(
    cases: Sequence[Case] | None = None,
    *,
    core_stop: Stop = CORE_STOP,
    train_stop: Stop = TRAIN_STOP,
    progress: Progress,
) -> dict[str, Any]:
    """Measure the cases side by side, each in its own process.

    After the checks comes one training step of each for its memory, then training steps are timed,
    then the cores. Equal floors are measured once. A case that fails anywhere has no figures.

    Args:
        cases: the published ones by default.
        core_stop: when a metric of a core has enough samples.
        train_stop: when the training step has enough samples.
        progress: called with what is being measured.

    Returns:
        rows and ratios.
    """
    cases = published_cases() if cases is None else cases
    with contextlib.ExitStack() as stack:
        workers = {case.name: stack.enter_context(Worker(TimedCase, case)) for case in cases}
        answers: dict[tuple[str, str], Spread] = {}
        errors: dict[str, str] = {}
        phases = (
            (("check",), ONCE),
            (("peak_mb",), ONCE),
            (("train_step",), train_stop),
            (CORE_METRICS, core_stop),
        )
        for metrics, stop in phases:
            floors = {_products(case): case.name for case in cases[::-1] if case.name not in errors}
            cells = {
                (case.name, metric): partial(workers[case.name].call, metric)
                for case in cases
                for metric in metrics
                if case.name not in errors
                if _applies(metric, case)
                if metric != "core_floor" or floors[_products(case)] == case.name
            }
            good, bad = interleave(
                cells, stop, progress=lambda key: progress(f"{key[0]}: {key[1].replace('_', ' ')}")
            )
            answers |= good
            errors |= {name: message for (name, _), message in bad.items()}
    rows: list[dict[str, Any]] = []
    for case in cases:
        if case.name in errors:
            rows.append({"row": case.name, "error": errors[case.name]})
        else:
            own = {
                metric: spread for (name, metric), spread in answers.items() if name == case.name
            }
            rows.append(_row(case, own, answers.get((floors[_products(case)], "core_floor"))))
    return {"rows": rows, "ratios": ratios(rows)}


def _applies(metric: str, case: Case) -> bool:
    """Whether a case has this metric: the plain model has no core of ours.

    The LSTM as a loop is timed as a core only, because the rest of its training step is the LSTM's.
    """
    if metric in CORE_METRICS:
        return case.variant.model != "baseline"
    return metric == "check" or case.variant.model != "lstm-loop"


def _products(case: Case) -> tuple[object, ...]:
    """What the floor of a case depends on."""
    variant, overrides = case.variant, str(case.overrides)
    return variant.model == "rmc", variant.dtype, variant.device, case.config_name, overrides


def _row(case: Case, answers: Mapping[str, Spread], floor: Spread | None) -> dict[str, Any]:
    core, step, peak = (answers.get(name) for name in ("core_step", "train_step", "peak_mb"))
    spreads = {
        "core_forward": answers.get("core_forward"),
        "core_step": core,
        "core_floor": floor if core else None,
        "train_step": step,
    }
    row: dict[str, Any] = {"row": case.name}
    for metric, spread in spreads.items():
        row |= {f"{metric}_ms": None} if spread is None else spread.fields(metric, "ms")
    row["core_step_over_floor"] = core.median / floor.median if core and floor else None
    config = case.config(MODELS)
    tokens = config.batch_size * config.bptt
    row["tokens_per_s"] = None if step is None else tokens / step.median
    row["peak_mb"] = None if peak is None else peak.median
    return row


class Target(NamedTuple):
    """A bound on the quotient of two figures, each given as ``(row, figure)``."""

    name: str
    above: tuple[str, str]
    below: tuple[str, str]
    at_most: float | None = None
    at_least: float | None = None


BF16, F32, LSTM_BF16, LSTM_F32 = FUSED_BFLOAT16.name, FUSED.name, LSTM_BFLOAT16.name, LSTM.name
EAGER, COMPILED, PLAIN = REFERENCE.name, NATIVE.name, BASELINE.name
COMPILED_BF16 = NATIVE_BFLOAT16.name
CORE, FLOOR, STEP, PEAK = "core_step_ms", "core_floor_ms", "train_step_ms", "peak_mb"
CORE_CPU, STEP_CPU = "core_step_cpu_ms", "train_step_cpu_ms"
TARGETS = (
    Target("core, bfloat16: fused / its floor", (BF16, CORE), (BF16, FLOOR), at_most=1.35),
    Target("core: reference float32 / fused bfloat16", (EAGER, CORE), (BF16, CORE), at_least=4),
    Target("core, float32: fused / its floor", (F32, CORE), (F32, FLOOR), at_most=1.35),
    Target("core, float32: reference / fused", (EAGER, CORE), (F32, CORE), at_least=1.8),
    Target("core, float32: native / its floor", (COMPILED, CORE), (COMPILED, FLOOR), at_most=1),
    Target("core, float32: fused / native", (F32, CORE), (COMPILED, CORE), at_least=1.2),
    Target("core, bfloat16: fused / native", (BF16, CORE), (COMPILED_BF16, CORE), at_least=1.5),
    Target("training step, bfloat16: rmc / lstm", (BF16, STEP), (LSTM_BF16, STEP), at_most=1.1),
    Target("training step, float32: rmc / lstm", (F32, STEP), (LSTM_F32, STEP), at_most=1.1),
    Target("training step: plain model / rmc bfloat16", (PLAIN, STEP), (BF16, STEP), at_least=2.5),
    Target("peak memory: rmc bfloat16 / plain model", (BF16, PEAK), (PLAIN, PEAK), at_most=0.5),
    Target("peak memory: rmc float32 / plain model", (F32, PEAK), (PLAIN, PEAK), at_most=0.5),
)


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The ratios of `TARGETS` whose figures are in the rows."""
    figures = {(row["row"], name): value for row in rows for name, value in row.items()}
    found = []
    for target in TARGETS:
        above, below = figures.get(target.above), figures.get(target.below)
        if above is not None and below:
            bounds = {"at_most": target.at_most, "at_least": target.at_least}
            found.append(ratio(target.name, above / below, **bounds))
    return found


COLUMNS = {
    "row": text("row"),
    "core forward, ms": timing("core_forward_ms"),
    "core forward + backward, ms": timing(CORE),
    "core CPU, ms": number(CORE_CPU),
    "its floor, ms": timing(FLOOR),
    "times floor": number("core_step_over_floor", ".2f"),
    "training step, ms": timing(STEP),
    "step CPU, ms": number(STEP_CPU),
    "tokens/s": number("tokens_per_s"),
    "peak, MB": number(PEAK),
}
NOTE = (
    f"{SPREAD_NOTE} Cores: forward, then forward and backward, next to the same matrix products "
    "alone. Training step: whole model with loss, clipping and Adam; peak: its memory above "
    "the process with weights and optimizer state."
)
CPU_NOTE = (
    " CPU: CPU time of all threads in the same samples; on an idle machine it is close to the "
    "number of threads times the time by the clock, on a busy one it is less."
)


def tables(result: Result) -> list[Table]:
    """One table; results from before CPU times were taken have no columns for them."""
    absent = [] if _has_cpu_times(result) else ["core CPU, ms", "step CPU, ms"]
    columns = {title: cell for title, cell in COLUMNS.items() if title not in absent}
    return [table(result["rows"], columns)]


def note(result: Result) -> str:
    """What the columns mean."""
    return NOTE + (CPU_NOTE if _has_cpu_times(result) else "")


def _has_cpu_times(result: Result) -> bool:
    return any(STEP_CPU in row for row in result["rows"])


def draw(result: Result) -> "Figure":
    """Core, training step and memory as bars; a black mark on the core's bar is its floor."""
    from matplotlib.figure import Figure

    from .pictures import COLOURS, bars

    rows: Sequence[Row] = result["rows"]
    figure = Figure(figsize=(14, 1.5 + 0.42 * len(rows)), layout="constrained")
    core, step, memory = figure.subplots(1, 3, sharey=True)
    bars(core, rows, CORE, title="Core, forward + backward", unit="ms", colour=COLOURS[0])
    bars(step, rows, STEP, title="Whole training step", unit="ms", colour=COLOURS[2])
    bars(memory, rows, PEAK, title="Peak memory of a training step", unit="MB", colour=COLOURS[4])
    floors = [(row[FLOOR], place) for place, row in enumerate(rows) if row.get(FLOOR) is not None]
    if floors:
        core.plot(
            *zip(*floors, strict=True),
            "|",
            color="black",
            markersize=16,
            markeredgewidth=2,
            label="its matrix products alone",
        )
        core.legend(loc="lower right", frameon=False)
    core.set_yticks(range(len(rows)), [row["row"] for row in rows])
    core.invert_yaxis()
    return figure


MEASUREMENT = Measurement(kind="speed", measure=measure, tables=tables, note=note, draw=draw)
