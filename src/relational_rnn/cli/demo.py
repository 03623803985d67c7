"""Train a small RMC and a small LSTM of equal size, and compare them.

One to two minutes on two CPU cores. Every demo creates new runs: runs/demo-rmc-1, runs/demo-lstm-1
and so on.
"""

import signal
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..config import load
from ..printable import printable
from ..processes import check_launcher
from ..runs import Run, new_run
from ..signals import exiting_at_once
from . import print_json

CONFIGS = ("demo-rmc", "demo-lstm")
WORDS = 80
"""Length of the sample of generated text."""
VERDICT = (
    "note: one recipe and few steps for both; with tuned recipes the two cores tie on WikiText-2 "
    "(docs/wikitext2.md), and the RMC's core takes several times as long as an LSTM's "
    "(docs/speed.md)"
)


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--data", help="name or folder of the text to train on [pydoc]")
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

    given = {"data": arguments.data, "max_steps": arguments.max_steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    runs: list[Run] = []
    try:
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


def _sample(run: Run) -> str:
    from ..generate import as_text, generate
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
    return "".join(as_text(one.word for one in drawn)).strip()


def _how_to_continue(runs: list[Run], output: Path) -> str:
    """What to do after Ctrl-C: resume the unfinished run, report on both, or start again."""
    complete = [run.name for run in runs if run.summary_path.exists()]
    if len(complete) == len(CONFIGS):
        return f"both runs are complete: rrnn report {' '.join(complete)} --output {output}"
    if runs and runs[-1].config_path.exists() and not runs[-1].summary_path.exists():
        return runs[-1].how_to_resume
    kept = f"{complete[0]} is complete; " if complete else ""
    return f"{kept}start again with: rrnn demo"
