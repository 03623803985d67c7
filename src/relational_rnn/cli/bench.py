"""Measure speed and memory on this machine.

Without options: the published table, all variants in one run (about two minutes on two cores). Each
of the first options measures something else instead.
"""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json

GROWTHS = ("slots", "batch", "time", "vocabulary", "heads")


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--grow",
        choices=GROWTHS,
        metavar="SIZE",
        help=f"how cost grows with SIZE: {', '.join(GROWTHS)}",
    )
    parser.add_argument(
        "--sizes",
        action="store_true",
        help="cores of many sizes with each backend of the CPU, next to an LSTM of equal size, "
        "with one and two threads (about four minutes on two cores, 3 GB of memory)",
    )
    parser.add_argument("--profile", action="store_true", help="the parts of a training step")
    parser.add_argument(
        "--memory-steps",
        type=int | None,
        metavar="N",
        help="whether memory stays flat over N training steps",
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="a training step of the paper's WikiText-103 model (about ten minutes on two cores, "
        "10 GB of memory)",
    )
    parser.add_argument(
        "--corpus",
        action="store_true",
        help="preparing and streaming a synthetic text of WikiText-103's size (several minutes, "
        "1.5 GB in the folder for temporary files)",
    )
    parser.add_argument(
        "--batches",
        action="store_true",
        help="making a batch, compared with a training step on it, for the shipped configurations "
        "of generated tasks",
    )
    parser.add_argument(
        "--busy",
        action="store_true",
        help="training on an idle machine and next to busy processes, with the command's choice of "
        "threads and with others (about ten minutes on two cores)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/bench"),
        help="folder for the figures (JSON), the tables (Markdown) and the picture (PNG) "
        "[results/bench]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


class Choice(NamedTuple):
    """A measurement as the options name it."""

    kind: str
    file: str  # stem of the files
    arguments: list[str]  # on the command line
    options: dict[str, Any]  # of the measurement


def run(arguments: Namespace) -> int:
    """Measure, print, save. The exit code is 1 if a row failed."""
    choice = _choice(arguments)

    from rich.console import Console

    from ..bench import report

    with Console(stderr=True).status("starting") as status:
        measurement = report.MEASUREMENTS[choice.kind]
        result = measurement.run(progress=status.update, **choice.options)
    report.show(result, Console())
    command = shlex.join(["rrnn", "bench", *choice.arguments])
    paths = report.save(result, arguments.output, choice.file, command=command)
    print(f"written: {', '.join(str(path) for path in paths)}")
    if arguments.json:
        print_json(result)
    return 1 if any("error" in row for row in result["rows"]) else 0


def _choice(arguments: Namespace) -> Choice:
    choices = []
    if (what := arguments.grow) is not None:
        choices.append(Choice("growth", f"grow-{what}", ["--grow", what], {"what": what}))
    if (steps := arguments.memory_steps) is not None:
        if steps < 1:
            raise UserError(f"--memory-steps: must be at least 1, got {steps}")
        choices.append(Choice("memory", "memory", ["--memory-steps", str(steps)], {"steps": steps}))
    choices += [
        Choice(kind, kind, [f"--{kind}"], {})
        for kind in ("sizes", "profile", "scale", "corpus", "batches", "busy")
        if arguments[kind]
    ]
    if len(choices) > 1:
        names = " ".join(choice.arguments[0] for choice in choices)
        raise UserError(f"{names}: only one measurement at a time; give one of these options")
    return choices[0] if choices else Choice("speed", "speed", [], {})
