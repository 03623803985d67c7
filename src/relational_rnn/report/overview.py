"""What a run is and how far it is, from its files."""

import csv
from contextlib import suppress
from typing import Any

from ..errors import UserError
from ..registry import entry
from ..runs import Run


def overview(run: Run) -> dict[str, Any]:
    """A run in a line, read without its model.

    Returns:
        ``name``, ``task``, ``data`` (None: generated), ``core``, ``state`` ("training", "finished"
        or "resumable"), ``metric`` and ``best``: its exact validation figure, until then the best
        so far, None before the first. Of a run that cannot be read: ``name``, ``state`` "broken"
        and ``error``.
    """
    try:
        config = run.config
        metric = entry(config).metric
        best, last_step = _measured(run, metric)
        state = "resumable"
        if run.summary_path.is_file():
            summary = run.summary
            # A summary of fewer steps is from before the run was resumed.
            if last_step <= summary.get("steps", last_step):
                state = "finished" if summary.get("finished", True) else state
                valid = summary.get("valid")
                best = valid.get(metric, best) if isinstance(valid, dict) else best
        return {
            "name": run.name,
            "task": config.task,
            "data": getattr(config, "data", None),
            "core": config.model,
            "state": "training" if not run.shipped and run.in_training else state,
            "metric": metric,
            "best": best,
        }
    except (UserError, OSError, TypeError, csv.Error) as error:
        return {"name": run.name, "state": "broken", "error": " ".join(str(error).split())}


def _measured(run: Run, metric: str) -> tuple[float | None, int]:
    """The best validation in metrics.csv, None before the first, and the last step."""
    values: list[float] = []
    step = 0
    if run.metrics_path.is_file():
        with open(run.metrics_path, encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                with suppress(TypeError, ValueError):  # an empty field, or half a row
                    step = max(step, int(row.get("step") or ""))
                    values.append(float(row.get(f"valid_{metric}") or ""))
    best = min if metric == "perplexity" else max
    return best(values, default=None), step
