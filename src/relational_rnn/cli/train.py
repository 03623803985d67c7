"""Train a model, or resume a run (--resume RUN)."""

import argparse
import sys
from argparse import SUPPRESS
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..config import TASKS, TaskConfig, load, shipped
from ..config.fields import GROUPS, Option, help_texts, options
from ..errors import UserError
from ..printable import printable
from ..processes import check_launcher, is_first_process
from ..runs import Run, find_run, new_run
from ..signals import exiting_at_once
from . import print_json

USAGE = "rrnn train CONFIG [OPTION ...]   or   rrnn train --resume RUN [OPTION ...]"

OWN = ("config", "run", "resume", "logger", "json")
"""The verb's own arguments; all others are fields of the configuration."""


def add(parser: ArgumentParser) -> None:
    """Add the verb's own arguments, and an option for every field of every task."""
    _add_own(parser)
    add_fields(parser)


def add_fields(parser: ArgumentParser) -> None:
    """Add an option for every field of every task; those not given stay out of the namespace.

    They are hidden: :func:`help_parser` shows those of one task.
    """
    group = parser.add_argument_group(
        "fields of the configuration", "as listed by rrnn train TASK --help"
    )
    for field in _fields(TASKS.values()).values():
        _add_field(group, field, SUPPRESS)


def help_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser whose help is shown for a command line: of the task that it names, if any."""
    parser = argparse.ArgumentParser(
        usage=USAGE,
        description=__doc__,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_own(parser)
    task = _task(words)
    if task is None:
        group = parser.add_argument_group("fields of the configuration that matter most")
        for field in _fields(TASKS.values()).values():
            if field.prominent:
                owners = [cls for cls in TASKS.values() if field.name in options(cls)]
                text = _text(field, owners[0])
                _add_field(group, field, text if owners[1:] else f"{_task_of(owners[0])}: {text}")
        parser.epilog = (
            "All fields of a task, in groups, with their ranges and defaults:\n"
            + "\n".join(f"  rrnn train {name} --help" for name in TASKS)
            + "\nShipped configurations, models and your runs: rrnn list"
        )
        return parser
    own = options(TASKS[task])
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for field in own.values():
            if field.group == title:
                _add_field(group, field, f"{_text(field, TASKS[task])} {_allowed(field)}")
    parser.epilog = f"These are the fields of {task}. The values in brackets are its defaults."
    return parser


def known_options(words: Sequence[str]) -> list[str]:
    """The options that a misspelt one may stand for: of the task that is named, if any."""
    task = _task(words)
    classes = TASKS.values() if task is None else [TASKS[task]]
    own = [f"--{name}" for name in (*OWN[1:], "help")]
    return own + [field.flag for field in _fields(classes).values()]


def run(arguments: Namespace) -> int:
    """Train and print the result."""
    overrides = {key: value for key, value in vars(arguments).items() if key not in OWN}
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
                f"{arguments.resume}: comes with the package, without a checkpoint to resume from; "
                f"start a run of your own: rrnn train {run.config_path}"
            )
        config = _resumed_config(run, overrides)
        check_launcher(devices=config.devices, num_nodes=config.num_nodes)
    elif arguments.config is None:
        raise UserError("no configuration, task or --resume RUN given; see rrnn train --help")
    else:
        config = load(arguments.config, overrides)
        check_launcher(devices=config.devices, num_nodes=config.num_nodes)
        run = new_run(arguments.run, config)
    try:
        unused = config.without_effect()
        for name in sorted(overrides.keys() & unused.keys()) if is_first_process() else ():
            print(f"note: {name} has no effect: {unused[name]}", file=sys.stderr)
        return _fit(config, run, arguments)
    finally:
        if is_first_process():
            run.remove_if_empty()


def _resumed_config(run: Run, overrides: dict[str, Any]) -> TaskConfig:
    own = options(type(run.config))
    for name in overrides:
        if name in own and not own[name].resumable:
            can = ", ".join(field.name for field in own.values() if field.resumable)
            raise UserError(f"{name}: cannot be changed when a run is resumed; these can: {can}")
    if "data" not in overrides:
        run.check_text_exists()
    if "log_every" in overrides:
        _check_log_every(run.config)
    return load(run.config_path, {"name": run.config.name, **overrides})


def _check_log_every(config: TaskConfig) -> None:
    """Refuse to change the rows of metrics.csv of a curriculum that follows their losses."""
    from ..registry import build_task, is_generated

    if is_generated(config) and build_task(config, training=True).follows_loss:
        curriculum = vars(config)["curriculum"]
        raise UserError(f"log_every: cannot be changed: curriculum {curriculum} depends on it")


def _fit(config: TaskConfig, run: Run, arguments: Namespace) -> int:
    with exiting_at_once(run.remove_if_empty):
        from ..train import fit

    chosen = {} if arguments.logger is None else {"logger": arguments.logger}
    try:
        result = fit(config, run=run, resume=arguments.resume is not None, **chosen)
    except UserError:
        if not is_first_process():
            return 0  # the first process reports it
        raise
    except KeyboardInterrupt:
        if is_first_process() and run.last_path.exists():
            print(printable(f"interrupted; {run.how_to_resume}"))
        raise
    if not is_first_process():
        return 0  # Lightning would take anything else for a failure and kill the first
    if result.stopped_by:
        print(printable(f"stopped and saved; {run.how_to_resume}"))
    if result.summary is not None:
        scores = " · ".join(
            f"{split} {_quality(result.summary[split])}" for split in ("valid", "test")
        )
        print(f"{printable(run.folder)}: {result.summary['parameters']:,} parameters · {scores}")
        if arguments.json:
            keys = ("run", "parameters", "steps", "valid", "test")
            print_json({key: result.summary[key] for key in keys})
    return 128 + result.stopped_by if result.stopped_by else 0


def _quality(score: dict[str, float]) -> str:
    if "perplexity" in score:
        return f"perplexity {score['perplexity']:,.2f}"
    return f"accuracy {score['accuracy']:.2%}"


def _add_own(parser: argparse.ArgumentParser) -> None:
    """Add the options that are not fields of the configuration."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help=f"a shipped configuration, a YAML file, or a task: {', '.join(TASKS)}",
    )
    parser.add_argument("--run", metavar="RUN", help="name or folder of the new run")
    parser.add_argument("--resume", metavar="RUN", help="name or folder of the run to resume")
    parser.add_argument(
        "--logger",
        metavar="LOGGER",
        help="tensorboard, csv, wandb, none, or the class path of a Lightning logger; metrics.csv "
        "is written in any case; it is not kept with the run, so give it again with --resume "
        "[tensorboard if installed]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def _add_field(parser: Any, field: Option, text: str) -> None:
    settings: dict[str, Any] = {"metavar": "VALUE", "default": SUPPRESS}
    if field.hint is bool:
        settings |= {"nargs": "?", "const": "true"}
    elif str(field.hint).startswith(("list", "tuple")):
        settings["nargs"] = "+"
    parser.add_argument(field.flag, help=text.replace("%", "%%"), **settings)


def _fields(classes: Iterable[type[TaskConfig]]) -> dict[str, Option]:
    """The fields that can be given on the command line, by name."""
    found: dict[str, Option] = {}
    for config_class in classes:
        for name, field in options(config_class).items():
            if field.group is not None:
                found.setdefault(name, field)
    return found


def _text(field: Option, config_class: type[TaskConfig]) -> str:
    text = help_texts(config_class)[field.name].rstrip(".")
    if field.only:
        return f"{', '.join(field.only[1:])}: {text[0].lower()}{text[1:]}"
    return text


def _allowed(field: Option) -> str:
    """Its type, range and default."""
    values = ", ".join(part for part in (field.type_in_words, field.range_in_words) if part)
    default = field.default
    if default is None or isinstance(default, bool):
        default = "null" if default is None else str(default).lower()
    elif isinstance(default, tuple):
        default = " ".join(map(str, default))
    return f"[{values}; default {default}]"


def _task_of(config_class: type[TaskConfig]) -> str:
    return str(options(config_class)["task"].default)


def _task(words: Sequence[str]) -> str | None:
    """The task that a command line is about, as far as can be told without parsing it."""
    for before, word in zip(["", *words], words, strict=False):
        try:
            if before == "--resume" or word.startswith("--resume="):
                return find_run(word.removeprefix("--resume=")).config.task
            if before.startswith("--") and before not in ("--json", "--help"):
                continue  # its value
            if word in TASKS or word in shipped() or Path(word).suffix in (".yaml", ".yml"):
                return load(word).task
        except UserError:
            return None
    return None
