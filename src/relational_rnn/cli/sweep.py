"""Train one configuration many times with some of its fields changed, and rank the results.

The same command resumes a sweep that was stopped or killed; run in another terminal at the same
time, it trains further trials of the same sweep.
"""

import shlex
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from ..printable import printable
from . import print_json
from .train import add_fields

if TYPE_CHECKING:
    from ..sweep.study import Trials

OWN = ("config", "run", "storage", "trials", "workers", "json")


def add(parser: ArgumentParser) -> None:
    """Add the verb's own arguments, and an option for every field of every task."""
    parser.add_argument(
        "config", help="a YAML file that describes a sweep, or the name of a shipped sweep"
    )
    parser.add_argument("--run", help="name or folder of the sweep [the name of its file]")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database URL for the trials [SQLite, study.db in the sweep's folder]",
    )
    parser.add_argument("--trials", type=int | None, help="number of trials [the file's]")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of trials to train at the same time [1]"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )
    add_fields(parser)


def run(arguments: Namespace) -> int:
    """Train the remaining trials, print the table, write table and page.

    The exit code is 1 if no trial has finished.
    """
    from ..runs import run_folder
    from ..sweep.plan import read_plan
    from ..sweep.storage import need_optuna

    if arguments.workers < 1:
        raise UserError(f"--workers: must be at least 1, got {arguments.workers}")
    overrides = {key: value for key, value in vars(arguments).items() if key not in OWN}
    need_optuna()
    plan = read_plan(arguments.config, overrides, trials=arguments.trials)

    from optuna.exceptions import StorageInternalError

    from ..sweep.runner import Runner
    from ..sweep.storage import failure
    from ..sweep.study import Trials

    folder = run_folder(arguments.run or plan.name)
    started = (folder / "sweep.yaml").exists()
    if not started:
        plan.open_data()
    try:
        trials = Trials(plan, folder, arguments.storage)
        if started and not trials.over:
            plan.open_data()
        runner = Runner(trials, workers=arguments.workers, say=_say)
        if signal := runner.run():
            done = sum(outcome.state == "finished" for outcome in trials.outcomes())
            print(f"stopped and saved, {done} of {plan.trials} trials finished")
            _say(f"resume with: {_again(arguments)}")
            return 128 + signal
        return 0 if _show(trials, as_json=arguments.json) else 1
    except StorageInternalError as error:
        where = f"{folder / 'study.db'}" if arguments.storage is None else "--storage"
        raise UserError(
            f"{where}: the database failed: {failure(error)}; resume with: {_again(arguments)}"
        ) from error


def _say(text: str) -> None:
    print(printable(text), flush=True)


def _show(trials: "Trials", *, as_json: bool) -> int:
    """Print and write the results; return the number of finished trials."""
    from rich.console import Console

    from ..report.sweep import as_table, write_sweep

    outcomes = trials.ranked()
    Console().print(as_table(outcomes))
    paths = write_sweep(outcomes, trials.folder)
    _say(f"written: {', '.join(str(path) for path in paths.values())}")
    if as_json:
        print_json(
            {
                "sweep": str(trials.folder),
                "measure": outcomes.measure,
                "spearman": outcomes.rho,
                "trials": outcomes.rows(),
                "page": str(paths["page"]),
            }
        )
    return outcomes.finished


def _again(arguments: Namespace) -> str:
    """The command line that was given."""
    words = ["rrnn", "sweep", arguments.config]
    for name, value in vars(arguments).items():
        if name == "json" and value:
            words.append("--json")
        elif (
            name not in ("config", "json") and value is not None and (name, value) != ("workers", 1)
        ):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)
