"""Run drills: ``python -m drills [DRILL ...]``; see README.md."""

import argparse
import contextlib
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch

import relational_rnn
from relational_rnn.bench.measurement import describe_machine
from relational_rnn.ops.relational_memory.native import build
from relational_rnn.printable import printable, shortened

from . import damage, full_disk, fuzz, kills, names, signals, soak
from .record import Row, write

Drill = Callable[[int, Random, Path], Iterator[Row]]

DRILLS: dict[str, Drill] = {
    "kills": kills.drill,
    "signals": signals.drill,
    "damage": damage.drill,
    "disk": full_disk.drill,
    "fuzz": fuzz.drill,
    "names": names.drill,
    "soak": soak.drill,
}
ROUNDS = {
    "short": {
        "kills": 40,
        "signals": 8,
        "damage": 96,
        "disk": 8,
        "fuzz": 5_000,
        "names": 30,
        "soak": 60,
    },
    "long": {
        "kills": 240,
        "signals": 30,
        "damage": 1_040,
        "disk": 60,
        "fuzz": 110_000,
        "names": 400,
        "soak": 7_200,
    },
}
"""Tries of each drill; of the soak, seconds."""


IMPORTED_LATER = (
    "attrs",
    "fsspec.implementations.local",
    "lightning.pytorch.loggers.tensorboard",
    "matplotlib.backends.backend_agg",
    "numpy.ctypeslib",
    "rich.console",
    "safetensors.torch",
    "tensorboard.summary.writer.event_file_writer",
    "torch._dynamo",
    "torch.profiler",
    "torch.utils.tensorboard",
)
"""Modules that commands import when they need them, which takes most of the time of a short one."""


def main(argv: list[str]) -> int:
    """Run the drills that are named, print their rows and write them; 1 if a try has failed."""
    parser = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=f"{', '.join(DRILLS)} [all]")
    parser.add_argument("--round", choices=list(ROUNDS), default="short", help="how many tries")
    parser.add_argument(
        "--tries", type=int, help="tries of each drill, seconds of the soak [the round's]"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all random choices [1]")
    parser.add_argument("--output", type=Path, default=Path("results/drills"), help="folder")
    given = parser.parse_args(argv)
    if unknown := set(given.drills) - DRILLS.keys():
        parser.error(f"{min(unknown)}: no such drill; the drills are {', '.join(DRILLS)}")
    _prepare()
    failures = 0
    for name in given.drills or DRILLS:
        tries = given.tries or ROUNDS[given.round][name]
        path = given.output / f"{name}-{given.round}.json"
        failures += _run(name, tries, given.round, given.seed, path)
    print(f"{failures:,} failures")
    return 1 if failures else 0


def _prepare() -> None:
    """Settings and modules of this process, which all commands of the drills inherit.

    A forked process cannot use the threads of its parent, and would compile the native core again
    for the cache of each try.
    """
    os.environ["MPLBACKEND"] = "agg"
    for module in pkgutil.walk_packages(relational_rnn.__path__, "relational_rnn."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in IMPORTED_LATER:
        import_module(name)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    if build.available():
        os.environ["RRNN_NATIVE_LIBRARY"] = str(build.build())


def _run(name: str, tries: int, kind: str, seed: int, path: Path) -> int:
    """Run a drill, write its rows and print them at the end; return the number of failures.

    A row comes again with more tries and replaces the earlier one, so that a drill which is ended
    by Ctrl-C, or killed, leaves what it has found.
    """
    about = {"drill": name, "round": kind, "seed": seed, "machine": describe_machine()}
    start = time.monotonic()
    rows: dict[str, Row] = {}
    with TemporaryDirectory(prefix="drills-") as folder, contextlib.suppress(KeyboardInterrupt):
        for row in DRILLS[name](tries, Random(seed), Path(folder).resolve()):
            rows[row.what] = row
            seconds = round(time.monotonic() - start, 1)
            write(path, list(rows.values()), {**about, "seconds": seconds})
    for row in rows.values():
        _show(row)
    return sum(len(row.failures) for row in rows.values())


def _show(row: Row) -> None:
    print(row, flush=True)
    for failure in row.failures[:10]:
        print(f"  {shortened(printable(failure), 400)}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
