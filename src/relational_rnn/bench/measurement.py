"""A kind of measurement, and the machine that it runs on."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import provenance
from .tables import Table

if TYPE_CHECKING:  # worker processes run without it
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
"""Plain values, ready for JSON: kind, machine, rows, and what else the kind of measurement has. A
row that failed has ``error`` in place of its figures."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One kind of measurement.

    Attributes:
        kind: its name, which each of its results carries.
        measure: takes options and ``progress``, compares what it times with the reference first,
            and returns the result without kind and machine.
        tables: the tables of a result, except the ratios.
        note: what the figures of a result mean.
        draw: the picture of a result; None if there is none.
    """

    kind: str
    measure: Callable[..., dict[str, Any]]
    tables: Callable[[Result], Sequence[Table]]
    note: Callable[[Result], str]
    draw: "Callable[[Result], Figure] | None" = None

    def run(self, *, progress: Progress = lambda text: None, **options: Any) -> dict[str, Any]:
        """Measure now.

        Args:
            progress: called with what is being measured.
            options: for `measure`.

        Returns:
            A `Result`.
        """
        machine = describe_machine()
        return {"kind": self.kind, "machine": machine} | self.measure(progress=progress, **options)


def describe_machine() -> dict[str, Any]:
    """Processor, threads, load, versions and commit at this moment.

    Call it before measuring: ``load_average`` (over one, five and fifteen minutes) shows whether
    the machine was idle.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        **provenance.machine(device),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "dirty": _dirty(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _dirty() -> bool | None:
    """Whether tracked source files differ from the commit; None outside a repository."""
    if provenance.commit() is None:
        return None
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", ":/src"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return bool(changed.stdout.strip())
