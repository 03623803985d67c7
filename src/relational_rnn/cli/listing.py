"""Show the tasks, configurations, models, sweeps and suites of the package, and your runs."""

import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..config import TASKS, description_of, load, shipped
from ..printable import printable
from ..report.formatting import millions
from ..report.overview import overview
from ..report.terminal import WideTable
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
    from rich.console import Console

    from ..compare.suite import shipped as suites
    from ..sweep.plan import shipped as sweeps

    folders = sorted((path.parent for path in RUNS.glob("*/config.yaml")), key=lambda it: it.name)
    found: dict[str, list[dict[str, Any]]] = {
        "tasks": [
            {"name": name, "description": (cls.__doc__ or "").split("\n")[0].rstrip(".")}
            for name, cls in TASKS.items()
        ],
        "configurations": [_configuration(name) for name in shipped()],
        "models": [_model(name) for name in shipped_models()],
        "sweeps": [_described(name, path) for name, path in sorted(sweeps().items())],
        "suites": [_described(name, path) for name, path in sorted(suites().items())],
        "runs": [overview(Run(folder)) for folder in folders],
    }
    tables = {"tasks: rrnn train TASK": found["tasks"]}
    for task in TASKS:
        title = f"configurations of {task}: rrnn train NAME"
        tables[title] = [
            {key: row[key] for key in row if key != "task"}
            for row in found["configurations"]
            if row["task"] == task
        ]
    tables |= {
        "shipped models: rrnn test NAME": found["models"],
        "sweeps: rrnn sweep NAME": found["sweeps"],
        "suites: rrnn compare NAME": found["suites"],
        f"your runs (in {RUNS}/): rrnn test NAME, rrnn train --resume NAME": found["runs"],
    }
    console = Console()
    for title, rows in tables.items():
        print(title, flush=True)
        if rows:
            console.print(_table(rows))
        else:
            print("  none\n")
    for row in [*found["models"], *found["runs"]]:
        if "error" in row:
            print(f"note: {printable(row['error'])}", file=sys.stderr)
    if arguments.json:
        print_json(found)


def _configuration(name: str) -> dict[str, Any]:
    config = load(name)
    return {
        "name": config.name,
        "task": config.task,
        "core": config.model,
        "description": description_of(shipped()[name]),
    }


def _model(name: str) -> dict[str, Any]:
    run = Run(SHIPPED / name)
    row, weights = overview(run), millions(run.summary["parameters"])
    return row | {"description": f"{weights} weights, trained on {row['data'] or row['task']}"}


def _described(name: str, path: Path) -> dict[str, Any]:
    return {"name": name, "description": description_of(path)}


def _table(rows: list[dict[str, Any]]) -> WideTable:
    columns = {
        "name": [row["name"] for row in rows],
        "task": [row.get("task", "") for row in rows],
        "core": [row.get("core", "") for row in rows],
        "state": [row.get("state", "") for row in rows],
        "valid": [_figure(row) for row in rows],
        "description": [row.get("description", "") for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if name == "name" or any(cells)}
    return WideTable(
        header=list(shown),
        rows=list(zip(*shown.values(), strict=True)),
        left=list(shown),
        wraps=("description",),
    )


def _figure(row: dict[str, Any]) -> str:
    if not isinstance(row.get("best"), int | float):
        return ""
    return f"{row['metric']} " + FORMATS[row["metric"]].format(row["best"])
