"""Train a model, or resume a run (--resume RUN)."""

import argparse
import shlex
import signal
import sys
from argparse import SUPPRESS
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

from ..config import TASKS, TaskConfig, load, shipped
from ..config.fields import GROUPS, Option, help_texts, nearest, options
from ..equal_size import TOLERANCE, WIDTHS, count_weights, nearest_size
from ..errors import UserError
from ..printable import printable
from ..processes import check_launcher, is_first_process
from ..registry import is_generated, text_sizes
from ..runs import RUNS, Run, find_run, new_run
from ..signals import Stopper, exiting_at_once
from . import Formatter, print_json

USAGE = "rrnn train CONFIG [OPTION ...]\n       rrnn train --resume RUN [OPTION ...]"

OWN = ("config", "run", "resume", "match_weights", "logger", "json")
"""The verb's own arguments; all others are fields of the configuration."""
WITHOUT_VALUE = ("--json", "--help", "-h")

OLD_FLAGS = {
    "--adaptivesoftmax": "--head adaptive",
    "--attmlplayers": "--attention-mlp-layers",
    "--cuda": "--device cuda",
    "--dropout": "--embedding-dropout or --output-dropout",
    "--emsize": "--embedding-size",
    "--log-interval": "--log-every",
    "--lr": "--learning-rate",
    "--name": "--run",
    "--nhid": "--hidden-size",
    "--nlayers": "--num-layers",
}
"""Flags of relational-rnn-pytorch whose names here are far from them; see docs/migrating.md."""


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
    """The parser whose help is shown for a command line: of what it names, if anything.

    Raises:
        UserError: the command line names no configuration, task or run.
    """
    parser = argparse.ArgumentParser(
        usage=USAGE, description=__doc__, add_help=False, formatter_class=Formatter
    )
    parser.add_argument("-h", "--help", action="help", help="show this help message and exit")
    _add_own(parser)
    named = _named(words)
    if named is None:
        group = parser.add_argument_group("fields of the configuration that matter most")
        for field in _fields(TASKS.values()).values():
            if field.prominent:
                owners = [cls for cls in TASKS.values() if field.name in options(cls)]
                text = f"{_text(field, owners[0])} {_choices(field)}"
                _add_field(group, field, text if owners[1:] else f"{_task_of(owners[0])}: {text}")
        parser.epilog = (
            "All fields of a task, with ranges and defaults:\n"
            + "\n".join(f"  rrnn train {name} --help" for name in TASKS)
            + "\nShipped configurations, models and your runs: rrnn list"
        )
        return parser
    name, config = named
    own = options(type(config))
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for field in own.values():
            if field.group == title:
                value = getattr(config, field.name)
                _add_field(group, field, f"{_text(field, type(config))} {_allowed(field, value)}")
    whose = "its defaults" if name == config.task else f"the values of {printable(name)}"
    parser.epilog = f"These are the fields of {config.task}. The defaults shown are {whose}."
    return parser


def suggest(option: str, words: Sequence[str]) -> str:
    """The hint for an unknown option: an option of the task that is named, or of another task."""
    if option in OLD_FLAGS:
        return f"; did you mean {OLD_FLAGS[option]}?"
    try:
        named = _named(words)
    except UserError:
        named = None
    fields = _fields(TASKS.values() if named is None else [type(named[1])])
    names = [*OWN[1:], "help", *(field.flag.removeprefix("--") for field in fields.values())]
    hint = nearest(option.removeprefix("--"), names, prefix="--")
    if hint:
        return hint
    others = {field.flag: name for name, field in _fields(TASKS.values()).items()}
    for flag in get_close_matches(option, others, n=1, cutoff=0.7):
        owners = [task for task, cls in TASKS.items() if others[flag] in options(cls)]
        has = f"{' and '.join(owners)} {'have' if owners[1:] else 'has'} it"
        return f"; did you mean {flag} ({has})?"
    return ""


def run(arguments: Namespace) -> int:
    """Train and print the result."""
    overrides = {key: value for key, value in vars(arguments).items() if key not in OWN}
    if arguments.resume is not None:
        for name in ("config", "run", "match_weights"):
            if getattr(arguments, name) is not None:
                raise UserError(
                    f"{getattr(arguments, name)}: a run is resumed in its own folder with its own "
                    "configuration; leave this out"
                )
        run = find_run(arguments.resume)
        if run.shipped:
            raise UserError(
                f"{arguments.resume}: comes with the package, without a checkpoint to resume from; "
                f"start a run of your own: rrnn train {shlex.quote(str(run.config_path))}"
            )
        config = _resumed_config(run, overrides)
        check_launcher(devices=config.devices, num_nodes=config.num_nodes)
    elif arguments.config is None:
        raise UserError("no configuration, task or --resume RUN given; see rrnn train --help")
    else:
        config = _load(arguments.config, overrides)
        check_launcher(devices=config.devices, num_nodes=config.num_nodes)
        if arguments.match_weights is not None:
            config = _with_weights_of(arguments.match_weights, config, overrides)
        run = new_run(arguments.run, config)
    try:
        unused = config.without_effect()
        for name in sorted(overrides.keys() & unused.keys()) if is_first_process() else ():
            print(f"note: {name} has no effect: {unused[name]}", file=sys.stderr)
        return _fit(config, run, arguments)
    finally:
        if is_first_process():
            run.remove_if_empty()


def _load(name: str, overrides: dict[str, Any]) -> TaskConfig:
    """As :func:`load`; a run's name is an error that tells how to resume it."""
    if name not in TASKS and name not in shipped():
        for folder in (Path(name), RUNS / name):
            if (folder / "config.yaml").is_file():
                raise UserError(
                    f"{name}: is a run, not a configuration; {Run(folder).how_to_resume}"
                )
    return load(name, overrides)


def _with_weights_of(name: str, config: TaskConfig, overrides: dict[str, Any]) -> TaskConfig:
    """The configuration with the width that gives it as many weights as a run's model has."""
    decided = WIDTHS[config.model]
    for field in decided:
        if field in overrides:
            flag = options(type(config))[field].flag
            raise UserError(f"{flag}: is decided by --match-weights; leave one of the two out")
    run = find_run(name)
    if run.config.task != config.task:
        raise UserError(
            f"--match-weights: {name} is a run of {run.config.task}, not of {config.task}; give a "
            "run of the same task"
        )
    sizes = {} if is_generated(config) else _sizes_of_same_text(run, vars(config)["data"])
    try:
        weights = count_weights(run.config, **sizes)
        matched = nearest_size(config, weights, **sizes)
        count = count_weights(matched, **sizes)
    except UserError as error:
        raise UserError(f"--match-weights: {error}") from error
    if is_first_process():
        before, after = vars(config), vars(matched)
        chosen = ", ".join(
            f"{field} {after[field]}"
            for field in decided
            if field == decided[0] or before.get(field) != after.get(field)
        )
        off = abs(count / weights - 1) > TOLERANCE
        print(
            f"{printable(run.title)}: {weights:,} weights; this model: {count:,}, with {chosen}"
            + (f" ({count / weights - 1:+.1%}: no width is nearer)" if off else ""),
            flush=True,
        )
    return matched


def _sizes_of_same_text(run: Run, data: str) -> dict[str, int]:
    """The sizes of a text, whose vocabulary must be that of a run."""
    from ..tasks.language_modeling import open_corpus

    with Stopper():  # SIGTERM and SIGHUP remove what was written to the cache so far
        vocabulary = open_corpus(data).vocabulary
    if vocabulary.digest != run.vocabulary.digest:
        raise UserError(
            f"--match-weights: {data} has another vocabulary ({len(vocabulary):,} words) than "
            f"{run.title} ({len(run.vocabulary):,}); give the text of that run as --data"
        )
    return text_sizes(vocabulary)


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
    from ..registry import build_task

    if is_generated(config) and build_task(config, training=True).follows_loss:
        curriculum = vars(config)["curriculum"]
        raise UserError(f"log_every: cannot be changed: curriculum {curriculum} depends on it")


def _fit(config: TaskConfig, run: Run, arguments: Namespace) -> int:
    with exiting_at_once(run.remove_if_empty):
        from ..train import fit

    before = run.summary if arguments.resume is not None and run.summary_path.is_file() else {}
    chosen = {} if arguments.logger is None else {"logger": arguments.logger}
    try:
        result = fit(config, run=run, resume=arguments.resume is not None, **chosen)
    except UserError:
        if not is_first_process():
            return 0  # the first process reports it
        raise
    except KeyboardInterrupt as interrupt:
        if is_first_process():
            print(printable(_what_is_kept(run)), flush=True)
        return 128 + int(getattr(interrupt, "number", signal.SIGINT))
    if not is_first_process():
        return 0  # Lightning would take anything else for a failure and kill the first
    if result.stopped_by:
        print(printable(f"stopped and saved; {run.how_to_resume}"))
    if result.summary is not None:
        scores = " · ".join(
            f"{split} {_quality(result.summary[split])}" for split in ("valid", "test")
        )
        print(f"{printable(run.folder)}: {result.summary['parameters']:,} parameters · {scores}")
        steps = result.summary["steps"]
        if before.get("finished") and before.get("steps") == steps and not result.stopped_by:
            longer = "--max-steps" if is_generated(config) else "--epochs or --max-steps"
            done = f"finished after {steps:,} steps; train longer with {longer}"
            print(f"{printable(run.folder)}: {done}")
        if arguments.json:
            keys = ("run", "parameters", "steps", "valid", "test")
            print_json({key: result.summary[key] for key in keys})
    return 128 + result.stopped_by if result.stopped_by else 0


def _what_is_kept(run: Run) -> str:
    """What a training that was interrupted at once has left."""
    if not run.last_path.exists():
        return "stopped; nothing was saved"
    import torch

    try:
        content = torch.load(run.last_path, mmap=True, weights_only=True, map_location="cpu")
        step = f" of step {content['global_step']:,}"
    except Exception:  # broken: the resumed run reports it
        step = ""
    return f"stopped; kept: {run.last_path}{step}; {run.how_to_resume}"


def _quality(score: dict[str, float]) -> str:
    if "perplexity" in score:
        from ..evaluate.perplexity import describe_units

        units = describe_units(score)
        return f"perplexity {score['perplexity']:,.2f}{f' ({units})' if units else ''}"
    return f"accuracy {score['accuracy']:.2%}"


def _add_own(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are not fields of the configuration."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help=f"shipped configuration, YAML file, or task: {', '.join(TASKS)}",
    )
    parser.add_argument("--run", metavar="RUN", help="name or folder of the new run")
    parser.add_argument("--resume", metavar="RUN", help="name or folder of the run to resume")
    parser.add_argument(
        "--match-weights",
        metavar="RUN",
        help="choose the core's width for as many weights as RUN has",
    )
    parser.add_argument(
        "--logger",
        metavar="LOGGER",
        help="tensorboard, csv, wandb, none, or the class path of a Lightning logger; not stored "
        "with the run: give it again with --resume. metrics.csv is always written [tensorboard if "
        "installed]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def _add_field(parser: Any, field: Option, text: str) -> None:
    settings: dict[str, Any] = {"metavar": "X", "default": SUPPRESS}
    if field.hint is bool:
        settings |= {"nargs": "?", "const": "true"}
    elif _is_list(field):
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
        name = any(letter.isupper() for letter in text.split()[0][1:])  # such as DropConnect
        return f"{', '.join(field.only[1:])}: {text if name else text[0].lower() + text[1:]}"
    return text


def _allowed(field: Option, default: Any) -> str:
    """Its type, its range, and a value as its default."""
    values = ", ".join(part for part in (field.type_in_words, field.range_in_words) if part)
    return f"[{values}; default {_in_words(default)}]"


def _choices(field: Option) -> str:
    """Its choices, if it has any, and its default."""
    choices = (
        " | ".join(map(str, get_args(field.hint))) if get_origin(field.hint) is Literal else ""
    )
    return f"[{choices}{'; ' if choices else ''}default {_in_words(field.default)}]"


def _in_words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _task_of(config_class: type[TaskConfig]) -> str:
    return str(options(config_class)["task"].default)


def _named(words: Sequence[str]) -> tuple[str, TaskConfig] | None:
    """The configuration that a command line is about, with its name; None if it names none.

    Raises:
        UserError: there is no such configuration, task or run, or it is broken.
    """
    lists = [field.flag for field in _fields(TASKS.values()).values() if _is_list(field)]
    option = ""  # the one whose value may follow
    for word in words:
        if word.startswith("-") and not (option and word[1:2].isdigit()):  # no negative number
            flag, equals, value = word.partition("=")
            if flag == "--resume" and equals:
                return value, find_run(value).config
            option = "" if equals or flag in WITHOUT_VALUE else flag
        elif option == "--resume":
            return word, find_run(word).config
        elif not option:
            return word, _load(word, {})
        elif option not in lists:
            option = ""
    return None


def _is_list(field: Option) -> bool:
    return str(field.hint).startswith(("list", "tuple"))
