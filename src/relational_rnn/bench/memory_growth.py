"""Whether memory stays flat: the resident size of this process over many training steps."""

from typing import TYPE_CHECKING, Any

from .cases import FASTEST_RMC, Case
from .check import check
from .measurement import Measurement, Progress, Result
from .process_memory import resident
from .tables import number, one_table
from .work import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READINGS = 10
SETTLED = 2  # readings that do not count, while allocators and caches fill
CASE = Case(name=FASTEST_RMC.name)


def measure(steps: int, case: Case = CASE, *, progress: Progress) -> dict[str, Any]:
    """Train for some steps and read the resident size ten times.

    Returns:
        row (the case's name), rows (step, resident_mb) and growth_mb, from the lowest reading to
        the last, without the readings of the first fifth of the steps.
    """
    check(case)
    training = Training(case)
    rows = []
    for step in range(1, steps + 1):
        training.step()
        if step * READINGS // steps > (step - 1) * READINGS // steps:
            rows.append({"step": step, "resident_mb": resident()})
            progress(f"step {step:,} of {steps:,}: {rows[-1]['resident_mb']:,.1f} MB")
    settled = [row["resident_mb"] for row in rows[min(SETTLED, len(rows) - 1) :]]
    return {"row": case.name, "rows": rows, "growth_mb": settled[-1] - min(settled)}


COLUMNS = {"step": number("step"), "process, MB": number("resident_mb", ",.1f")}


def note(result: Result) -> str:
    """The growth."""
    return f"{result['row']}: growth after settling {result['growth_mb']:.1f} MB"


def draw(result: Result) -> "Figure":
    """Resident size over steps."""
    from matplotlib.figure import Figure

    rows = result["rows"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in rows], [row["resident_mb"] for row in rows], "o-")
    axes.set(title=f"Resident memory, {result['row']}", xlabel="training step", ylabel="MB")
    axes.set_ylim(0, 1.1 * max(row["resident_mb"] for row in rows))
    return figure


MEASUREMENT = Measurement(
    kind="memory", measure=measure, tables=one_table(COLUMNS), note=note, draw=draw
)
