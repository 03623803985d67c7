"""Measure speed and memory on this machine.

Without options: the published table, all rows in one run (about two minutes on two cores).
"""

import shlex
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json

GROWTHS = ("slots", "batch", "time", "vocabulary", "heads")


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--grow", choices=GROWTHS, help="show how cost grows with one of the sizes instead"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of a training step goes instead"
    )
    parser.add_argument(
        "--memory-steps",
        type=int | None,
        metavar="N",
        help="show that memory stays flat over N training steps instead",
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="show what a training step of the paper's WikiText-103 model costs instead (about ten "
        "minutes on two cores, 10 GB of memory)",
    )
    parser.add_argument(
        "--corpus",
        action="store_true",
        help="show what it takes to prepare and to stream a made-up text of WikiText-103's size "
        "instead (some minutes, 1.5 GB in the folder for temporary files)",
    )
    parser.add_argument(
        "--batches",
        action="store_true",
        help="show what making a batch costs beside the step that learns from it instead, for the "
        "shipped configurations of generated tasks",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/bench"),
        help="folder for the figures (JSON), the table (Markdown) and the picture (PNG)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> int:
    """Measure, print, save. The exit code is 1 if a row failed."""
    chosen = {
        "--grow": arguments.grow is not None,
        "--profile": arguments.profile,
        "--memory-steps": arguments.memory_steps is not None,
        "--scale": arguments.scale,
        "--corpus": arguments.corpus,
        "--batches": arguments.batches,
    }
    if sum(chosen.values()) > 1:
        raise UserError(f"{' '.join(name for name in chosen if chosen[name])}: take one at a time")
    if arguments.memory_steps is not None and arguments.memory_steps < 1:
        raise UserError(
            f"--memory-steps: {arguments.memory_steps} is not valid; it takes 1 or more"
        )

    from rich.console import Console

    from ..bench import batches, growth, parts, report, speed, steady
    from ..bench.corpus import measure as corpus
    from ..bench.scale import measure as scale

    command = ["rrnn", "bench"]
    with Console(stderr=True).status("starting") as status:
        if arguments.grow is not None:
            name = f"grow-{arguments.grow}"
            command += ["--grow", arguments.grow]
            points = growth.GROWTH[arguments.grow]
            result = growth.measure(arguments.grow, points, progress=status.update)
        elif arguments.profile:
            name = "profile"
            command.append("--profile")
            result = parts.measure(progress=status.update)
        elif arguments.memory_steps is not None:
            name = "memory"
            command += ["--memory-steps", str(arguments.memory_steps)]
            result = steady.measure(arguments.memory_steps, progress=status.update)
        elif arguments.scale:
            name = "scale"
            command.append("--scale")
            result = scale.measure(progress=status.update)
        elif arguments.corpus:
            name = "corpus"
            command.append("--corpus")
            result = corpus.measure(progress=status.update)
        elif arguments.batches:
            name = "batches"
            command.append("--batches")
            result = batches.measure(batches.configurations(), progress=status.update)
        else:
            name = "speed"
            result = speed.measure(speed.cases(), progress=status.update)
    report.show(result, Console())
    paths = report.save(result, arguments.output, name, command=shlex.join(command))
    print(f"written: {', '.join(str(path) for path in paths)}")
    if arguments.json:
        print_json(result)
    return 1 if any("error" in row for row in result["rows"]) else 0
