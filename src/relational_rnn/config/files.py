"""Configurations by name, from YAML files, and with single fields overridden."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from jsonargparse import ArgumentParser

from ..errors import UserError
from ..files import write_text
from ..printable import printable
from .fields import must_be, nearest, one_of, options
from .training import TASKS, TaskConfig
from .yaml_files import as_yaml, check_yaml, read_yaml


def shipped() -> dict[str, Path]:
    """Names of the configurations in the package, with their files."""
    folder = Path(str(files("relational_rnn.configs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def description_of(path: Path) -> str:
    """The first clause of the comment at the top of a YAML file, in one line."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words += line.lstrip("# ").split()
    text = re.sub(r" \([^)]*\)", "", " ".join(words))
    return re.split(r"[.:;]( |$)", text)[0]


def load(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> TaskConfig:
    """Read a configuration: a shipped name, the path of a YAML file, or a task (its defaults).

    Args:
        name_or_path: which one.
        overrides: fields to replace; values may be text, as on the command line.

    Raises:
        UserError: no such configuration, an unknown field, or a value that is not allowed.
    """
    name, values = _read(str(name_or_path))
    config_class = TASKS[values.get("task", DEFAULT_TASK)]
    values = {"name": name, **values, **_checked_names(config_class, overrides or {}, "--")}
    try:
        parsed = {key: parse(config_class, key, value) for key, value in values.items()}
        return config_class(**parsed)
    except UserError as error:
        if overrides or not Path(name_or_path).is_file():
            raise
        raise UserError(f"{name_or_path}: {error}") from error


def parse(config_class: type, key: str, value: Any) -> Any:
    """A value, which may be text, as the type of its field; its range is not checked.

    Raises:
        UserError: the value is not of that type.
    """
    if value == ["null"]:
        value = None
    declared = options(config_class)[key]
    if declared.hint is str and isinstance(value, str):
        return value  # not YAML
    if type(value) is int:  # precision: 32 is a number in YAML
        digits = {int(text): text for text in map(str, get_args(declared.hint)) if text.isdigit()}
        value = digits.get(value, value)
    try:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_yaml(text)
        parsed = _parser(config_class).parse_object({key: value}, defaults=False)[key]
        if parsed is None and type(None) not in get_args(declared.hint):
            raise TypeError("jsonargparse accepts null for every type")
        return parsed
    except Exception as error:
        raise must_be(key, declared.type_in_words, value) from error


def save(config: TaskConfig, path: Path) -> None:
    """Write all fields of a configuration as YAML, atomically."""
    values = asdict(config)
    values["betas"] = list(config.betas)
    ordered = {"task": values.pop("task"), "name": values.pop("name"), **values}
    write_text(path, as_yaml(ordered))


DEFAULT_TASK = "language-modeling"
"""Task of a file that names none."""


def _read(name: str) -> tuple[str, dict[str, Any]]:
    """The name of a configuration and the fields that it sets."""
    if name in TASKS:
        return name, {"task": name}
    path = shipped().get(name, Path(name))
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or os.sep in name:
            raise UserError(f"{name}: no such configuration file")
        hint = nearest(name, [*shipped(), *TASKS]) or (
            "; give a YAML file or a name that `rrnn list` shows"
        )
        raise UserError(f"{name}: no such configuration{hint}")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a configuration; write lines of `field: value`")
    task = values.get("task", DEFAULT_TASK)
    if not isinstance(task, str) or task not in TASKS:
        raise must_be(f"{path}: task", one_of(TASKS), task)
    return path.stem, _checked_names(TASKS[task], values, f"{path}: ")


def _checked_names(config_class: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``values``, if all of them are fields of the task."""
    valid = list(options(config_class))
    for key in values:
        if key in valid:
            continue
        kind, name, names = "a field", printable(key), valid
        if where == "--":
            kind, name = "an option", name.replace("_", "-")
            names = [field.flag.removeprefix("--") for field in options(config_class).values()]
        owners = [task for task, other in TASKS.items() if key in options(other)]
        if owners:
            task = options(config_class)["task"].default
            has = f"{' and '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
            raise UserError(f"{where}{name}: not {kind} of {task}; {has}")
        hint = nearest(name, names, prefix=where if where == "--" else "")
        raise UserError(f"{where}{name}: unknown {kind.split()[1]}{hint}")
    return dict(values)


@cache
def _parser(config_class: type) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False, add_help=False)
    for name, declared in options(config_class).items():
        parser.add_argument(f"--{name}", type=declared.hint)
    return parser
