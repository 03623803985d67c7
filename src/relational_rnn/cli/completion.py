"""Print a script that lets a shell complete commands, options, names and files.

  bash:  rrnn completion bash > ~/.local/share/bash-completion/completions/rrnn
  zsh:   rrnn completion zsh > ~/.zfunc/_rrnn        (any folder of $fpath)
  fish:  rrnn completion fish > ~/.config/fish/completions/rrnn.fish

It works in new terminals. Print it again after an update of the package.
"""

import argparse
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

from . import FILES, VERBS

SHELLS = ("bash", "zsh", "fish")


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shell", choices=SHELLS, help=" or ".join(SHELLS))


def run(arguments: Namespace) -> None:
    """Print the script."""
    import shtab

    print(shtab.complete(_parser_of_all_verbs(), arguments.shell))


def _parser_of_all_verbs() -> argparse.ArgumentParser:
    from ..config import TASKS
    from ..config.fields import help_texts, options

    fields: dict[str, tuple[Any, str]] = {}
    for config_class in TASKS.values():
        texts = help_texts(config_class)
        for name, field in options(config_class).items():
            fields[field.flag] = field.hint, texts[name].split("\n")[0]
    parser = argparse.ArgumentParser(prog="rrnn")
    parser.add_argument("--version", action="store_true", help="show the version")
    verbs = parser.add_subparsers(parser_class=ArgumentParser)
    for verb, help_line in VERBS.items():
        of_verb = verbs.add_parser(verb, help=help_line, formatter_class=argparse.HelpFormatter)
        import_module(f".{FILES.get(verb, verb)}", __package__).add(of_verb)
        _show_fields(of_verb, fields)
        _name_values(of_verb, verb)
    return parser


def _show_fields(parser: ArgumentParser, fields: Mapping[str, tuple[Any, str]]) -> None:
    """Give the options that the help of `rrnn train` hides their help and their choices."""
    for action in parser._actions:
        if action.help == argparse.SUPPRESS and action.option_strings:
            hint, text = fields[action.option_strings[0]]
            action.help = text.replace("%", "%%")
            parts = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
            action.choices = [value for part in parts for value in get_args(part)] or None


def _name_values(parser: ArgumentParser, verb: str) -> None:
    """Give each argument the names or files that its value may be."""
    import shtab

    from ..compare.suite import shipped as suites
    from ..config import TASKS, shipped
    from ..runs import shipped_models
    from ..sweep.plan import shipped as sweeps

    runs = _names("runs", shipped_models(), in_runs=True)
    values = {
        ("train", "config"): _names("configurations", [*TASKS, *shipped()]),
        ("sweep", "config"): _names("sweeps", sweeps()),
        ("compare", "suite"): _names("suites", suites()),
    }
    for action in parser._actions:
        positional = not action.option_strings
        complete: Any = values.get((verb, action.dest)) if positional else None
        if action.dest in ("runs", "resume", "match_weights") or (
            positional and action.dest == "run"
        ):
            complete = runs
        elif action.dest in ("data", "file", "output", "onnx", "hub", "transformers"):
            complete = shtab.FILE
        if complete is not None:
            action.complete = complete  # type: ignore[attr-defined]


def _names(kind: str, words: Iterable[str], *, in_runs: bool = False) -> dict[str, Any]:
    """Names of the package, and what is on the disk: folders of runs, or YAML files.

    Others may have chosen a name on the disk: the shells do not expand it, and quote it when they
    insert it. Bash does not quote, so it is shown plain names only.
    """
    name, known = f"_rrnn_{kind}", " ".join(words)
    bash = 'compgen -f -X "!*.yaml" -- "$1"'
    zsh = '_files -g "*.yaml"'
    fish = "__fish_complete_suffix .yaml"
    if in_runs:
        bash = '(cd runs 2> /dev/null && compgen -d -- "$1")'
        zsh = "[[ -d runs ]] && _path_files -W runs -/; _path_files -/"
        fish = "for folder in runs/*/; path basename $folder; end"
    return {
        "bash": name,
        "zsh": name,
        "fish": f"({name})",
        "preamble": {
            "bash": f'{name}() {{\n  {{\n    compgen -W "{known}" -- "$1"\n    {bash}\n'
            '    compgen -d -- "$1"\n  } | grep -x "[[:alnum:]._/+-]*"\n}',
            "zsh": f"{name}() {{\n  compadd -- {known}\n  {zsh}\n}}",
            "fish": f"function {name}\n  printf '%s\\n' {known}\n  {fish}\n"
            "  __fish_complete_directories (commandline -ct)\nend",
        },
    }
