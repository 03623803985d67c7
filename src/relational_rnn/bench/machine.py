"""Where and with what figures were measured."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import provenance


def describe() -> dict[str, Any]:
    """Processor, threads, load, versions and commit, as of now.

    Take it before measuring: `load_average` (of one, five and fifteen minutes) tells whether the
    machine was idle.
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
    """Whether tracked files differ from the commit; None without one."""
    if provenance.commit() is None:
        return None
    here = Path(__file__).parent
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", ":/src"],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    return bool(changed.stdout.strip())
