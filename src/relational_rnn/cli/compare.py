"""Train several cores on several tasks with equal weights and examples, and compare them.

The same command resumes a comparison that was stopped or killed; run in another terminal at the
same time, it trains further runs of the same comparison.
"""

import shlex

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from ..printable import printable
from . import print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "suite",
        nargs="?",
        default="memory-quick",
        help="a YAML file that describes a suite, or the name of a shipped suite [memory-quick]",
    )
    parser.add_argument("--run", help="name or folder of the comparison [the name of its file]")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of runs to train at the same time [1]"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> int:
    """Train the runs that are missing, write table and page, print the table.

    Stopped by a signal, it writes table and page of the runs that have ended. The exit code is 1 if
    no run has finished.
    """
    from ..compare.suite import read_suite
    from ..runs import run_folder

    if arguments.workers < 1:
        raise UserError(f"--workers: must be at least 1, got {arguments.workers}")
    suite = read_suite(arguments.suite)

    from rich.console import Console

    from ..compare.page import as_data, as_table, write_comparison
    from ..compare.queue import Queue
    from ..compare.results import collect, origins
    from ..sweep.runner import Runner

    queue = Queue(suite, run_folder(arguments.run or suite.name))
    _say(f"{suite.name}: {queue.progress}")
    signal = Runner(queue, workers=arguments.workers, say=_say).run()
    rows = collect(queue)
    paths = write_comparison(suite, rows, queue.folder, origins(queue))
    if signal:
        print(f"stopped and saved, {queue.progress}")
        _say(f"resume with: {_again(arguments)}")
        return 128 + signal
    Console().print(as_table(suite, rows))
    for row in rows:
        for name, error in row.errors.items():
            _say(f"{name} failed: {error}")
    _say(f"written: {', '.join(str(path) for path in paths.values())}")
    if arguments.json:
        data = as_data(suite, rows)
        print_json({"comparison": str(queue.folder), **data, "page": str(paths["page"])})
    return 0 if any(row.runs for row in rows) else 1


def _say(text: str) -> None:
    print(printable(text), flush=True)


def _again(arguments: Namespace) -> str:
    """The command line that was given."""
    words = ["rrnn", "compare", arguments.suite]
    if arguments.run is not None:
        words += ["--run", arguments.run]
    if arguments.workers != 1:
        words += ["--workers", str(arguments.workers)]
    return shlex.join([*words, *(["--json"] if arguments.json else [])])
