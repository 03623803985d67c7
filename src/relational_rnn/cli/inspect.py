"""Show what the memory of a run attends to, and its gates, at every step of one example."""

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..printable import printable
from . import note_changes, print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, the name of a run in runs/, or a shipped model")
    parser.add_argument(
        "--example",
        type=int | None,
        help="index of an example of the test set, for tasks other than language-modeling [0]",
    )
    parser.add_argument(
        "--prompt",
        help="text to read, for a language model, as generate reads it [words of the model's own]",
    )
    parser.add_argument(
        "--layer", type=int, default=1, help="index of the recurrent layer, from 1 [1]"
    )
    parser.add_argument(  # not type=Path: jsonargparse would refuse a name that is not UTF-8
        "--output",
        default="report",
        help="folder to write memory.png and memory.html to [report]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Write the picture and the page, print what the example is."""
    from ..inspection import inspect
    from ..report.memory import write_memory
    from ..runs import find_run
    from ..threads import use_threads_of

    found = find_run(arguments.run)
    use_threads_of(found.config)
    seen = inspect(
        found,
        example=arguments.example,
        layer=arguments.layer,
        prompt=arguments.prompt,
    )
    if seen.note:
        print(f"note: {printable(seen.note)}", file=sys.stderr)
    picture, page = write_memory(seen, Path(arguments.output))
    print(printable(f"{seen.title}\n{picture}\n{page}", newlines=True))
    if arguments.json:
        print_json({"title": seen.title, "picture": str(picture), "page": str(page)})
    note_changes(found)
