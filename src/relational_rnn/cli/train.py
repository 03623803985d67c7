"""Train a model, or go on with a run (--resume RUN)."""

import inspect
from argparse import SUPPRESS
from dataclasses import fields
from typing import Any, get_type_hints

from docstring_parser import parse_from_object
from jsonargparse import ArgumentParser, Namespace

from ..config import TASKS, load
from ..config.fields import describe
from ..errors import UserError
from . import print_json

NOT_OPTIONS = ("task", "name")


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
    group = parser.add_argument_group("fields of the configuration")
    seen = set(NOT_OPTIONS)
    for config_class in TASKS.values():
        hints = get_type_hints(config_class)
        documentation = _field_documentation(config_class)
        for field in fields(config_class):
            if field.name in seen:
                continue
            seen.add(field.name)
            text = " ".join(documentation[field.name].split())
            options: dict[str, Any] = {"metavar": "VALUE", "default": SUPPRESS}
            if hints[field.name] is bool:
                options |= {"nargs": "?", "const": "true"}
            elif str(hints[field.name]).startswith(("list", "tuple")):
                options["nargs"] = "+"
            text = " ".join(documentation[field.name].split())
            takes = f"{describe(hints[field.name])}; default {field.default}"
            group.add_argument(
                "--" + field.name.replace("_", "-"), help=f"{text} [{takes}]", **options
            )


def run(arguments: Namespace) -> int:
    """Train and print what came of it."""
    own = ("config", "run", "resume", "json")
    overrides = {key: value for key, value in vars(arguments).items() if key not in own}
    if arguments.resume is not None and arguments.config is not None:
        raise UserError(
            f"{arguments.config}: a run is resumed with its own configuration; leave it out"
        )
    if arguments.resume is None and arguments.config is None:
        raise UserError("which configuration? see rrnn train --help")
    config = load(arguments.config, overrides)
    print(config)
    print_json({})
    return 0


def _field_documentation(config_class: type) -> dict[str, str]:
    """The docstrings of the fields, inherited ones too."""
    found: dict[str, Any] = {}
    for parent in reversed(inspect.getmro(config_class)):
        if parent is not object:
            params = parse_from_object(parent).params
            found |= {param.arg_name: param.description for param in params}
    return found
