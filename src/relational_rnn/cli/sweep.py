"""Train one configuration again and again with some of its fields changed, and compare.

A sweep that was stopped or killed goes on with the same command; the same command on another
terminal helps it along.
"""

import shlex
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json
from .train import add_fields

if TYPE_CHECKING:
    from ..sweep.study import Trials

OWN = ("config", "run", "storage", "trials", "workers", "json")


def add(parser: ArgumentParser) -> None:
    """Add the verb's own arguments, and an option for every field of every task."""
    parser.add_argument("config", help="a YAML file that describes a sweep, or a shipped sweep")
    parser.add_argument(
        "--run", type=str | None, help="name or folder of the sweep [the name of its file]"
    )
    parser.add_argument(
        "--storage",
        type=str | None,
        metavar="URL",
        help="address of a database to keep the trials in [SQLite, study.db in the sweep's folder]",
    )
    parser.add_argument("--trials", type=int | None, help="number of trials [the file's]")
    parser.add_argument("--workers", type=int, default=1, help="trials to train at the same time")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )
    add_fields(parser)


def run(arguments: Namespace) -> int:
    """Train what is left to be trained, print the table, write table and page.

    The exit code is 1 if no trial came to a result.
    """
    from ..runs import run_folder
    from ..sweep.reading import read_plan
    from ..sweep.storage import need_optuna

    if arguments.workers < 1:
        raise UserError(f"--workers: {arguments.workers} is not valid; it takes a number >= 1")
    overrides = {key: value for key, value in vars(arguments).items() if key not in OWN}
    need_optuna()
    plan = read_plan(arguments.config, overrides, trials=arguments.trials)

    from optuna.exceptions import StorageInternalError

    from ..sweep.conduct import Conductor
    from ..sweep.data import prepare
    from ..sweep.study import Trials

    folder = run_folder(arguments.run or plan.name)
    begun = (folder / "sweep.yaml").exists()
    if not begun:
        prepare(plan)
    try:
        trials = Trials(plan, folder, arguments.storage)
        if begun and not trials.over:
            prepare(plan)
        conductor = Conductor(
            trials, workers=arguments.workers, say=lambda text: print(text, flush=True)
        )
        if signal := conductor.run():
            done = sum(outcome.state == "finished" for outcome in trials.outcomes())
            print(f"stopped and saved, {done} of {plan.trials} trials finished")
            print(f"go on with: {_again(arguments)}")
            return 128 + signal
        return 0 if _show(trials, as_json=arguments.json) else 1
    except StorageInternalError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the database failed ({reason}); go on with: {_again(arguments)}"
        ) from error


def _show(trials: "Trials", *, as_json: bool) -> int:
    """Print and write the results; return how many there are."""
    from ..report.sweep import Outcomes, show, write_sweep
    from ..sweep.axes import axes_of

    plan = trials.plan
    outcomes = Outcomes(
        name=trials.folder.resolve().name,
        measure=plan.measure,
        lower_is_better=plan.lower_is_better,
        trials=trials.outcomes(),
        axes=axes_of(plan),
    )
    show(outcomes)
    paths = write_sweep(outcomes, trials.folder)
    print(f"written: {', '.join(str(path) for path in paths.values())}")
    if as_json:
        print_json(
            {
                "sweep": str(trials.folder),
                "measure": plan.measure,
                "spearman": outcomes.rho,
                "trials": outcomes.rows(),
                "page": str(paths["page"]),
            }
        )
    return outcomes.finished


def _again(arguments: Namespace) -> str:
    """The command as it was given."""
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
