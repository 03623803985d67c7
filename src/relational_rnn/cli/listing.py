"""Show the configurations, models and sweeps of the package, and your runs."""

import csv
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..config import load, shipped
from ..errors import UserError
from ..printable import printable
from ..registry import entry
from ..runs import RUNS, SHIPPED, Run, shipped_models
from . import print_json

FORMATS = {"perplexity": "{:,.2f}", "accuracy": "{:.2%}"}


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Print one table of each kind; a run that cannot be read is one note."""
    from ..sweep.plan import shipped as sweeps

    configs = [load(name) for name in shipped()]
    found = {
        "configurations": [
            {"name": config.name, "task": config.task, "core": config.model} for config in configs
        ],
        "models": [_row(Run(SHIPPED / name)) for name in shipped_models()],
        "sweeps": [{"name": name} for name in sweeps()],
        "runs": [_row(Run(path.parent)) for path in sorted(RUNS.glob("*/config.yaml"))],
    }
    titles = {
        "configurations": "configurations: rrnn train NAME",
        "models": "shipped models: rrnn test NAME",
        "sweeps": "sweeps: rrnn sweep NAME",
        "runs": f"runs below {RUNS}/: rrnn test NAME, rrnn train --resume NAME",
    }
    for kind, title in titles.items():
        print(title)
        for line in _aligned(found[kind]) or ["  none"]:
            print(line)
        print()
    for row in [*found["models"], *found["runs"]]:
        if "error" in row:
            print(f"note: {printable(row['error'])}", file=sys.stderr)
    if arguments.json:
        print_json(found)


def _row(run: Run) -> dict[str, Any]:
    """A run in a line; ``best`` is the best figure of its validations."""
    try:
        config = run.config
        metric = entry(config).metric
        finished = run.summary_path.is_file() and run.summary.get("finished", True)
        return {
            "name": run.name,
            "task": config.task,
            "core": config.model,
            "state": "finished" if finished else "resumable",
            "metric": metric,
            "best": _best(run, metric),
        }
    except (UserError, OSError, csv.Error) as error:
        return {"name": run.name, "state": "broken", "error": " ".join(str(error).split())}


def _best(run: Run, metric: str) -> float | None:
    """The best validation in metrics.csv; None before the first."""
    values: list[float] = []
    if run.metrics_path.is_file():
        with open(run.metrics_path, encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                with suppress(TypeError, ValueError):  # an empty field, or half a row
                    values.append(float(row.get(f"valid_{metric}") or ""))
    best = min if metric == "perplexity" else max
    return best(values, default=None)


def _aligned(rows: Iterable[dict[str, Any]]) -> list[str]:
    cells = [
        [
            printable(row["name"]),
            row.get("task", ""),
            row.get("core", ""),
            row.get("state", ""),
            _figure(row),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _figure(row: dict[str, Any]) -> str:
    if row.get("best") is None:
        return ""
    return f"valid {row['metric']} " + FORMATS[row["metric"]].format(row["best"])
