"""Train a small RMC and a small LSTM of equal size, and compare them.

One to two minutes on two CPU cores. The runs are kept as runs/demo-rmc-1, runs/demo-lstm-1 and so
on; every demo makes new ones.
"""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..config import load
from ..runs import Run, new_run
from . import print_json

CONFIGS = ("demo-rmc", "demo-lstm")
WORDS = 80
"""Length of the sample of generated text."""


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--data", type=str | None, help="compare them on this corpus or folder instead [pydoc]"
    )
    parser.add_argument(
        "--max-steps", type=int | None, help="train for so many steps only [600 steps each]"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/demo-report"),
        help="folder to write curves.png and report.html to",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> int:
    """Train both, print table and text, write picture and page."""
    from rich.console import Console

    from ..report import as_table, write_report
    from ..train import fit

    given = {"data": arguments.data, "max_steps": arguments.max_steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    runs = []
    for number, name in enumerate(CONFIGS, 1):
        config = load(name, overrides)
        run = new_run(None, config)
        print(f"{number} of {len(CONFIGS)}: {name} -> {run.folder}", flush=True)
        try:
            result = fit(config, run=run, resume=False)
        finally:
            run.remove_if_empty()
        if result.stopped_by:
            print(f"stopped and saved; {run.how_to_resume}")
            return 128 + result.stopped_by
        runs.append(run)

    report = write_report([run.folder for run in runs], arguments.output)
    Console().print(as_table(report.records))
    print(f"learning curves: {report.picture} and {report.page}")
    text = _sample(runs[0])
    print(f"\nWhat {runs[0].name} writes:\n\n{text}\n")
    print(f"Try: rrnn generate {runs[0].name} --words 50 --temperature 0.7")
    if arguments.json:
        rows = [record.row() for record in report.records]
        print_json(
            {"runs": rows, "picture": str(report.picture), "page": str(report.page), "text": text}
        )
    return 0


def _sample(run: Run) -> str:
    from ..generate import as_text, generate
    from ..registry import load_language_model

    words = generate(
        load_language_model(run),
        run.vocabulary,
        words=WORDS,
        temperature=0.8,
        top_k=50,
        seed=run.config.seed,
    )
    return "".join(as_text(words)).strip()
