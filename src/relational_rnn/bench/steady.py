"""Whether memory stays flat: the resident size of a process over many training steps."""

from collections.abc import Callable
from typing import Any

from .check import check
from .machine import describe
from .memory import resident
from .rows import FASTEST_RMC, Case
from .work import Training

READINGS = 10
SETTLED = 2  # readings that do not count: allocators and caches still fill
CASE = Case(row=FASTEST_RMC.name)


def measure(
    steps: int, case: Case = CASE, *, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train for some steps and read the resident size ten times on the way.

    Returns:
        machine, rows (step and megabytes of the process) and growth_mb, from the lowest reading
        to the last once the first fifth of the steps is done.
    """
    machine = describe()
    check(case)
    training = Training(case)
    rows = []
    for step in range(1, steps + 1):
        training.step()
        if step * READINGS // steps > (step - 1) * READINGS // steps:
            rows.append({"step": step, "resident_mb": resident()})
            progress(f"step {step:,} of {steps:,}: {rows[-1]['resident_mb']:,.1f} MB")
    settled = [row["resident_mb"] for row in rows[min(SETTLED, len(rows) - 1) :]]
    return {
        "machine": machine,
        "row": case.row,
        "rows": rows,
        "growth_mb": settled[-1] - min(settled),
    }
