"""Compare runs of one task: a table, learning curves as a picture, and an HTML page."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..printable import printable
from . import note_changes, print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "runs", nargs="+", help="run folders, names of runs in runs/, or shipped models"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("report"),
        help="folder to write curves.png and report.html to [report]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Write the picture and the page, print the table."""
    from rich.console import Console

    from ..report.comparison import as_table, write_report
    from ..runs import find_run

    runs = [find_run(name) for name in arguments.runs]
    report = write_report([run.folder for run in runs], arguments.output)
    console = Console()
    console.print(as_table(report.records))
    print(printable(f"{report.picture}\n{report.page}", newlines=True))
    if arguments.json:
        rows = [record.row() for record in report.records]
        print_json({"runs": rows, "picture": str(report.picture), "page": str(report.page)})
    for run in runs:
        note_changes(run)
