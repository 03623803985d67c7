"""Learning curves of runs as numbers, read again only when a run has written more."""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..report.record import LOWER_IS_BETTER, read
from ..runs import Run

MOST_POINTS = 400


def curves(run: Run) -> dict[str, Any]:
    """The curves of a run, with at most ``MOST_POINTS`` points each.

    Returns:
        ``measure``, "perplexity" or "accuracy"; ``lower``, whether less of it is better; ``train``
        and ``valid``, lists of ``[step, seconds, value]``, where the value is the loss in nats or
        the measure; or only ``error``, of a run that has written none yet, or cannot be read.
    """
    try:
        changed = run.metrics_path.stat()
    except OSError:
        return {"error": f"{run.title}: has written no metrics yet"}
    try:
        return _read(run.folder, changed.st_mtime_ns, changed.st_size)
    except UserError as error:
        return {"error": str(error)}


@lru_cache
def _read(folder: Path, changed: int, size: int) -> dict[str, Any]:
    record = read(folder)
    measure = record.measure
    found: dict[str, Any] = {"measure": measure, "lower": LOWER_IS_BETTER[measure]}
    for name, column in (("train", "train_loss"), ("valid", f"valid_{measure}")):
        columns = [record.metrics.get(key, []) for key in ("step", "seconds", column)]
        points = [row for row in zip(*columns, strict=False) if math.isfinite(sum(row))]
        every = -(-len(points) // MOST_POINTS) or 1
        found[name] = points[::-every][::-1]  # the last one is always there
    return found
