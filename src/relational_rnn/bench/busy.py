"""Training speed on an idle and on a busy machine: the command's choice of threads against others.

Every sample is a short ``rrnn train`` in a process of its own, because PyTorch reads how its
threads wait only once. See ``threads.py`` for the rule that is measured.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from ..threads import WAIT_VARIABLES, available_cpus
from .measurement import Measurement, Progress, Result
from .tables import Table, number, ratio, table, text

CASES: dict[str, list[str]] = {
    "demo-rmc": ["--max-steps", "100"],
    "demo-lstm": ["--max-steps", "100"],
    "cpu-nth-farthest": ["--max-steps", "100"],
    "cpu-addition": ["--max-steps", "60"],
    "wikitext2-rmc-best": ["--max-steps", "10", "--data", "pydoc"],
}
"""Shipped configurations, and enough steps of them for several rows of metrics."""
ROWS = 5  # of metrics.csv; the first is not counted
ROUNDS = 1
SECONDS = 40.0  # for one process; a slower one is stopped, and its rows so far count

WAYS: dict[str, tuple[dict[str, str], bool | None]] = {
    "chosen": ({}, None),
    "one": ({}, True),
    "spinning": ({"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}, False),
    "sleeping": ({"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}, False),
}
"""Environment, and whether one thread is asked for (None: nothing is; False: a thread per CPU)."""

MOST_LOST_IDLE = 1.1
MOST_LOST_BUSY = 2.0
"""How much slower than the best of the ways the chosen one may be."""


def measure(
    cases: Mapping[str, Sequence[str]] = CASES, *, rounds: int = ROUNDS, progress: Progress
) -> dict[str, Any]:
    """Train each case in each way, first on the machine as it is, then with every CPU loaded.

    Args:
        cases: names of configurations, with options that make them short.
        rounds: samples of each way; the ways take turns.
        progress: called with what is being measured.

    Returns:
        cpus, rows (row, machine, unit, a rate per second for each way) and ratios.
    """
    rows = []
    for machine, loads in (("idle", 0), ("busy", available_cpus())):
        with _busy_processes(loads):
            for name, options in cases.items():
                rates: dict[str, list[float]] = {way: [] for way in WAYS}
                unit = ""
                for turn in range(rounds):
                    for way in WAYS:
                        progress(f"{machine}: {name}, {way}, round {turn + 1} of {rounds}")
                        found, unit = _train(name, options, way)
                        rates[way] += found
                row: dict[str, Any] = {"row": name, "machine": machine, "unit": unit}
                row |= {way: median(found) for way, found in rates.items() if found}
                if failed := [way for way, found in rates.items() if not found]:
                    row["error"] = f"no rate of {', '.join(failed)}: the training failed"
                rows.append(row)
    return {"cpus": available_cpus(), "rows": rows, "ratios": _ratios(rows)}


def _ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The worst row of each machine: the best of the ways over the chosen one."""
    found = []
    for machine, bound in (("idle", MOST_LOST_IDLE), ("busy", MOST_LOST_BUSY)):
        lost = {
            row["row"]: max(row[way] for way in WAYS) / row["chosen"]
            for row in rows
            if row["machine"] == machine and "error" not in row
        }
        if lost:
            worst = max(lost, key=lambda name: lost[name])
            found.append(ratio(f"{machine}: best / chosen ({worst})", lost[worst], at_most=bound))
    return found


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


def _train(name: str, options: Sequence[str], way: str) -> tuple[list[float], str]:
    """Rates of the rows of a short training but the first, and what they count."""
    steps = int(options[options.index("--max-steps") + 1])
    variables, one = WAYS[way]
    threads = [] if one is None else ["--threads", "1" if one else str(available_cpus())]
    rare = ["--log-every", str(steps // ROWS), "--validate-every", str(10 * steps)]
    # "-m" and not the script: the package that is running is the one to measure
    command = [sys.executable, "-m", "relational_rnn", "train", name, *options, *rare, *threads]
    kept = {k: v for k, v in os.environ.items() if k not in (*WAIT_VARIABLES, "OMP_NUM_THREADS")}
    with TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*command, "--run", "sample"],
            cwd=folder,
            env={**kept, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        metrics = Path(folder, "runs", "sample", "metrics.csv")
        end = time.monotonic() + SECONDS
        try:
            # the last row is enough: the final evaluation is not measured
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
                if len(_rates(metrics)[0]) == ROWS - 1:
                    break
        finally:
            process.kill()
            process.wait()
        return _rates(metrics)


def _rates(path: Path) -> tuple[list[float], str]:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError:
        return [], ""
    column = next((name for name in rows[0] if name.endswith("_per_s")), "") if rows else ""
    return [float(row[column]) for row in rows[1:] if row[column]], column.removesuffix("_per_s")


def tables(result: Result) -> list[Table]:
    """Rates of each case and way."""
    cpus = result["cpus"]
    columns = {
        "configuration": text("row"),
        "machine": text("machine"),
        "counted": text("unit"),
        "chosen": number("chosen"),
        "one thread": number("one"),
        f"{cpus} threads, spinning": number("spinning"),
        f"{cpus} threads, sleeping": number("sleeping"),
    }
    return [table(result["rows"], columns)]


def note(result: Result) -> str:
    """What the columns mean."""
    return (
        "Per second of training, medians over the rows of short runs. Busy: next to as many other "
        f"processes as there are CPUs ({result['cpus']}), each of which keeps one busy. Chosen: "
        "what `rrnn train` does by itself. Spinning: waiting threads as PyTorch starts them. "
        "Sleeping: they give up their CPU at once."
    )


MEASUREMENT = Measurement(kind="busy", measure=measure, tables=tables, note=note)
