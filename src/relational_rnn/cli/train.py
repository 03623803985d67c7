"""Train a model, or go on with a run (--resume RUN)."""

import inspect
import sys
from argparse import SUPPRESS
from dataclasses import fields
from typing import Any, get_type_hints

from docstring_parser import parse_from_object
from jsonargparse import ArgumentParser, Namespace

from ..config import TASKS, TaskConfig, load
from ..config.fields import describe
from ..errors import UserError
from ..processes import is_first_process
from ..runs import Run, find_run, new_run
from ..signals import exiting_at_once
from . import print_json

NOT_OPTIONS = ("task", "name")
RESUMABLE = (
    "epochs",
    "max_steps",
    "data",
    "checkpoint_every",
    "log_every",
    "device",
    "devices",
    "num_nodes",
)
"""Fields that may change when a run goes on."""
BY_ROWS = ("naive", "combined", "grow")
"""Curricula that look at the loss of each row of metrics.csv."""


def add(parser: ArgumentParser) -> None:
    """Add the verb's own arguments, and an option for every field of every task."""
    parser.add_argument(
        "config",
        nargs="?",
        help=f"a YAML file, the name of a shipped configuration, or a task ({', '.join(TASKS)})",
    )
    parser.add_argument("--run", type=str | None, help="name or folder of the new run")
    parser.add_argument("--resume", type=str | None, help="name or folder of the run to go on with")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )
    add_fields(parser)


def add_fields(parser: ArgumentParser) -> None:
    """Add an option for every field of every task; those not given stay out of the namespace."""
    group = parser.add_argument_group("fields of the configuration")
    for name, by_task in _all_fields().items():
        hint, _, _ = next(iter(by_task.values()))
        options: dict[str, Any] = {"metavar": "VALUE", "default": SUPPRESS}
        if hint is bool:
            options |= {"nargs": "?", "const": "true"}
        elif str(hint).startswith(("list", "tuple")):
            options["nargs"] = "+"
        group.add_argument(
            "--" + name.replace("_", "-"), help=_help(by_task).replace("%", "%%"), **options
        )


Field = tuple[Any, str, Any]
"""A field's type, documentation and default."""


def _all_fields() -> dict[str, dict[str, Field]]:
    """Every field of every task, and under it the tasks that have it."""
    found: dict[str, dict[str, Field]] = {}
    for task, config_class in TASKS.items():
        hints = get_type_hints(config_class)
        documentation = _field_documentation(config_class)
        for field in fields(config_class):
            if field.name not in NOT_OPTIONS:
                text = " ".join(documentation[field.name].split())
                found.setdefault(field.name, {})[task] = hints[field.name], text, field.default
    return found


def _help(by_task: dict[str, Field]) -> str:
    """What a field means, once for the tasks for which it means the same."""
    alike: dict[str, list[str]] = {}
    for task, (hint, text, default) in by_task.items():
        alike.setdefault(f"{text} [{describe(hint)}; default {default}]", []).append(task)
    if len(alike) == 1:
        return next(iter(alike))
    return " ".join(f"{', '.join(tasks)}: {text}" for text, tasks in alike.items())


def run(arguments: Namespace) -> int:
    """Train and print what came of it."""
    own = ("config", "run", "resume", "json")
    overrides = {key: value for key, value in vars(arguments).items() if key not in own}
    if arguments.resume is not None:
        for name in ("config", "run"):
            if getattr(arguments, name) is not None:
                raise UserError(
                    f"{getattr(arguments, name)}: a run is resumed in its own folder with its own "
                    "configuration; leave this out"
                )
        run = find_run(arguments.resume)
        if run.shipped:
            raise UserError(
                f"{arguments.resume}: comes with the package, without what is needed to go on; "
                f"a run of its own: rrnn train {run.config_path}"
            )
        config = _resumed_config(run, overrides)
    elif arguments.config is None:
        raise UserError("which configuration, task or --resume RUN? see rrnn train --help")
    else:
        config = load(arguments.config, overrides)
        run = new_run(arguments.run, config)
    unused = config.without_effect()
    for name in sorted(overrides.keys() & unused.keys()) if is_first_process() else ():
        print(f"note: {name} has no effect: {unused[name]}", file=sys.stderr)
    return _fit(config, run, resume=arguments.resume is not None, as_json=arguments.json)


def _resumed_config(run: Run, overrides: dict[str, Any]) -> TaskConfig:
    for name in overrides.keys() - set(RESUMABLE):
        raise UserError(
            f"{name}: cannot be changed in a run that goes on; what can be: {', '.join(RESUMABLE)}"
        )
    curriculum = getattr(run.config, "curriculum", None)
    if "log_every" in overrides and curriculum in BY_ROWS:
        raise UserError(f"log_every: cannot be changed: curriculum {curriculum} goes by it")
    return load(run.config_path, {"name": run.config.name, **overrides})


def _fit(config: TaskConfig, run: Run, *, resume: bool, as_json: bool) -> int:
    with exiting_at_once(run.remove_if_empty):
        from ..train import fit

    try:
        result = fit(config, run=run, resume=resume)
    except UserError:
        if not is_first_process():
            return 0  # the first process tells it
        run.remove_if_empty()
        raise
    except KeyboardInterrupt:
        if is_first_process():
            run.remove_if_empty()
            if run.last_path.exists():
                print(f"interrupted; {run.how_to_resume}")
        raise
    if not is_first_process():
        return 0  # Lightning would take anything else for a failure and kill the first
    if result.stopped_by:
        print(f"stopped and saved; {run.how_to_resume}")
    if result.summary is not None:
        scores = " · ".join(
            f"{split} {_quality(result.summary[split])}" for split in ("valid", "test")
        )
        print(f"{run.folder}: {result.summary['parameters']:,} parameters · {scores}")
        if as_json:
            keys = ("run", "parameters", "steps", "valid", "test")
            print_json({key: result.summary[key] for key in keys})
    return 128 + result.stopped_by if result.stopped_by else 0


def _quality(score: dict[str, float]) -> str:
    if "perplexity" in score:
        return f"perplexity {score['perplexity']:,.2f}"
    return f"accuracy {score['accuracy']:.2%}"


def _field_documentation(config_class: type) -> dict[str, str]:
    """The docstrings of the fields, inherited ones too."""
    found: dict[str, Any] = {}
    for parent in reversed(inspect.getmro(config_class)):
        if parent is not object:
            params = parse_from_object(parent).params
            found |= {param.arg_name: param.description for param in params}
    return found
