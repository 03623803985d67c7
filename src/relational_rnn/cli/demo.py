"""Train a small RMC and a small LSTM of equal size, and compare them.

One to two minutes on two CPU cores. Every demo creates new runs: runs/demo-rmc-1, runs/demo-lstm-1
and so on.
"""

import shlex
import signal
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..config import load
from ..printable import printable
from ..processes import check_launcher
from ..runs import Run, new_run
from ..signals import Stopper, exiting_at_once
from . import print_json
from .data import default_name, prepare

CONFIGS = ("demo-rmc", "demo-lstm")
VOCABULARY = 3_000
CHARACTERS = 500_000
"""What is used of a raw text: as much as pydoc has, so that the demo takes as long."""
WORDS = 80
"""Length of the sample of generated text."""
VERDICT = (
    "note: one recipe and few steps for both; with tuned recipes the two cores tie on WikiText-2 "
    "(docs/wikitext2.md), and a core takes about as long for each of its slots as an LSTM with as "
    "many weights (docs/speed.md)"
)


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--data", help="the text to train on: a file, a folder, or a name, as for rrnn data [pydoc]"
    )
    parser.add_argument("--max-steps", type=int | None, help="training steps of each model [600]")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/demo-report"),
        help="folder for curves.png and report.html [runs/demo-report]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> int:
    """Train both, print table and text, write picture and page."""
    with exiting_at_once():
        from rich.console import Console

        from ..report.comparison import as_table, write_report
        from ..train import fit

    runs: list[Run] = []
    try:
        given = {"data": _prepared(arguments.data), "max_steps": arguments.max_steps}
        overrides = {name: value for name, value in given.items() if value is not None}
        for number, name in enumerate(CONFIGS, 1):
            config = load(name, overrides)
            check_launcher(devices=config.devices, num_nodes=config.num_nodes)
            run = new_run(None, config)
            runs.append(run)
            print(f"{number} of {len(CONFIGS)}: {name} -> {run.folder}", flush=True)
            try:
                result = fit(config, run=run, resume=False)
            finally:
                run.remove_if_empty()
            if result.stopped_by:
                print(f"stopped and saved; {run.how_to_resume}")
                return 128 + result.stopped_by

        report = write_report([run.folder for run in runs], arguments.output)
        Console().print(as_table(report.records))
        print(VERDICT)
        print(printable(f"learning curves: {report.picture} and {report.page}"))
        text = _sample(runs[0])
    except KeyboardInterrupt as interrupt:
        print(printable(f"interrupted; {_how_to_continue(runs, arguments.output)}"), flush=True)
        return 128 + int(getattr(interrupt, "number", signal.SIGINT))
    print(f"\nWhat {runs[0].name} writes:\n\n{printable(text, newlines=True)}\n")
    print(f"Try: rrnn generate {runs[0].name} --words 50 --temperature 0.7")
    if arguments.json:
        rows = [record.row() for record in report.records]
        print_json(
            {"runs": rows, "picture": str(report.picture), "page": str(report.page), "text": text}
        )
    return 0


def _prepared(data: str | None) -> str | None:
    """The name or folder to train on: of a raw text, one prepared from its beginning."""
    from ..tasks.language_modeling.sources import NAMES, is_split

    if data is None or data in NAMES or is_split(Path(data)):
        return data
    with Stopper():
        written = prepare(
            data,
            name=f"{default_name(data)}-demo",
            vocabulary_size=VOCABULARY,
            characters=CHARACTERS,
        )
    if written.cut:
        print(f"note: the demo reads the first {CHARACTERS:,} characters", file=sys.stderr)
    return str(written.folder)


def _sample(run: Run) -> str:
    from ..generate import generate
    from ..registry import load_language_model
    from ..threads import use_threads_of

    use_threads_of(run.config)
    drawn = generate(
        load_language_model(run),
        run.vocabulary,
        words=WORDS,
        temperature=0.8,
        top_k=50,
        seed=run.config.seed,
    )
    return "".join(run.vocabulary.tokenizer.as_text(one.word for one in drawn)).strip()


def _how_to_continue(runs: list[Run], output: Path) -> str:
    """What to do after Ctrl-C: resume the unfinished run, report on both, or start again."""
    complete = [run.name for run in runs if run.summary_path.exists()]
    if len(complete) == len(CONFIGS):
        report = shlex.join(["rrnn", "report", *complete, "--output", str(output)])
        return f"both runs are complete: {report}"
    if runs and runs[-1].config_path.exists() and not runs[-1].summary_path.exists():
        return runs[-1].how_to_resume
    kept = f"{complete[0]} is complete; " if complete else ""
    return f"{kept}start again with: rrnn demo"
