"""The command ``relational-rnn`` (short ``rrnn``): one verb, one file.

Each file defines ``add(parser)``, which adds the verb's arguments, and ``run(arguments)``, which
does the work and returns the exit code (None: 0). A verb whose help depends on its arguments also
defines ``help_parser(words)``, the parser whose help is shown, and ``suggest(option, words)``, the
hint for an unknown option. Torch is imported inside ``run`` alone: help is immediate.
"""

import argparse
import contextlib
import errno
import io
import os
import re
import signal
import sys
from argparse import ArgumentError
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..allocator import keep_freed_memory
from ..config.fields import nearest
from ..config.yaml_files import InvalidYamlError, YamlSyntaxError, check_yaml
from ..errors import UserError
from ..files import as_json
from ..printable import is_unicode, printable, shortened
from ..runs import Run
from ..signals import Stopper
from ..threads import set_wait_policy

VERBS = {
    "train": "train a model, or resume a run",
    "test": "perplexity or accuracy of a run's model",
    "generate": "continue a text",
    "score": "perplexity and per-word loss of a text",
    "data": "prepare a corpus and count its words",
    "list": "show tasks, configurations, shipped models, sweeps, suites and runs",
    "report": "learning curves and a table of several runs",
    "inspect": "show the attention and the gates of a run's model",
    "show": "a local web page: the memory word by word and step by step, and curves",
    "bench": "measure speed",
    "sweep": "train with many settings and compare them",
    "compare": "train several cores on several tasks and compare them",
    "export": "write a run's model for other programs",
    "build": "compile the native CPU core ahead of its first use",
    "demo": "train a small RMC and a small LSTM and compare them",
    "completion": "print a script that lets a shell complete commands and options",
}
"""Every verb with its line of help; the file of a verb has its name, if not in `FILES`."""

FILES = {"list": "listing"}  # a submodule named list would hide the builtin here

MAY_BE_EMPTY = "--prompt"
"""The one option with a meaning for an empty value."""

NUMBERS = {"int": "a whole number", "float": "a number"}

REPORTED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
)
"""Errors of the file system that are reported in one line."""


class Formatter(argparse.HelpFormatter):
    """Wraps each paragraph by itself, and leaves a paragraph alone that has indented lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(
            part if "\n  " in part else super(Formatter, self)._fill_text(part, width, indent)
            for part in paragraphs
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a user's mistake is one line and code 2."""
    given = list(sys.argv[1:] if argv is None else argv)
    _make_output_safe()
    with Stopper((signal.SIGINT,)) as stopper:
        try:
            return _reporting_errors(given)
        except KeyboardInterrupt as interrupt:
            print("interrupted", file=sys.stderr)
            return 128 + getattr(interrupt, "number", signal.SIGINT)
        except Exception:
            if stopper.caught:  # a library has swallowed the interrupt, and failed because of it
                return 128 + stopper.caught
            raise


def _reporting_errors(given: list[str]) -> int:
    try:
        code = _run(given)
        sys.stdout.flush()
    except UserError as error:
        _print_error(error)
        return 2
    except BrokenPipeError:
        # The reader of the output is gone: print nothing more, not even at exit.
        _discard_output()
        return 1
    except OSError as error:
        # Errors of a file that the user named, or of the output; any other is not a user's mistake.
        if error.errno not in REPORTED:
            raise
        filename = error.filename or "the output"
        _print_error(f"{os.fsdecode(filename)}: {error.strerror}")
        if error.filename is None:  # what is left in the buffer would fail again at exit
            _discard_output()
        return 2
    return code


def _discard_output() -> None:
    with contextlib.suppress(io.UnsupportedOperation):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(error: object) -> None:
    print(f"error: {shortened(printable(error))}", file=sys.stderr)


def _make_output_safe() -> None:
    """Print "?" for a character that the output's encoding lacks; discard what has no output."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def note_changes(run: Run) -> None:
    """Name the files of a finished run that are not as it left them, on stderr.

    Called at the end of a command: one that fails prints a single line.
    """
    if note := run.note_of_changes():
        print(f"note: {shortened(printable(note))}", file=sys.stderr)


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one line, the last of stdout with ``--json``."""
    print(as_json(result), flush=True)


def _run(argv: list[str]) -> int:
    for argument in argv:
        if not is_unicode(argument):
            # Names are written to files, and all our files are in UTF-8.
            raise UserError(
                f"{argument}: not valid UTF-8; give it in UTF-8 (a file or folder: rename it)"
            )
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        from .. import __version__

        print(__version__)
        return 0
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        hint = nearest(verb, VERBS) or f"; the commands are {', '.join(VERBS)}"
        raise UserError(f"{verb}: unknown command{hint}")
    keep_freed_memory()
    # Pictures are written to files and look alike everywhere: not with the backend of a notebook,
    # which may not be installed, nor with the user's matplotlibrc, which may ask for LaTeX.
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    module = import_module(f".{FILES.get(verb, verb)}", __name__)
    parser = ArgumentParser(
        prog=f"rrnn {verb}",
        description=module.__doc__,
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=Formatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="show this help message and exit")
    module.add(parser)
    if {"-h", "--help"} & set(rest):
        shown = module.help_parser(rest) if hasattr(module, "help_parser") else parser
        shown.print_help()
        return 0
    arguments = _parse(parser, rest, module)
    set_wait_policy()
    return module.run(arguments) or 0


def _parse(parser: ArgumentParser, argv: list[str], module: ModuleType) -> Namespace:
    """Parse, accepting ``--mem_slots`` for ``--mem-slots``; report a mistake in one line."""
    dashed = [
        re.sub("^--[^=]*", lambda match: match[0].replace("_", "-"), argument) for argument in argv
    ]
    _check_values(parser, dashed)
    try:
        return parser.parse_args(dashed)
    except ArgumentError as error:
        message = " ".join(str(error).split())
        unknown = re.search(r"unrecognized arguments: (\S+)", message, re.IGNORECASE)
        if unknown and unknown[1].startswith("-"):
            option = unknown[1].split("=")[0]
            if hasattr(module, "suggest"):
                hint = module.suggest(option, dashed)
            else:
                known = [name for action in parser._actions for name in action.option_strings]
                names = [name.removeprefix("--") for name in known if name.startswith("--")]
                hint = nearest(option.removeprefix("--"), names, prefix="--")
            raise UserError(f"{option}: unknown option{hint}") from error
        invalid = re.match(r'Parser key "([^"]+)".*?(?:Given value:|Got value:) (.*)$', message)
        if invalid:
            option = f"--{invalid[1].replace('_', '-')}"
            expected = re.search(r"Expected (?:a )?<class '(int|float)'>", message)
            if expected:
                wanted = f"must be {NUMBERS[expected[1]]}, got {invalid[2]!r}"
                raise UserError(f"{option}: {wanted}") from error
            raise UserError(
                f"{option}: {invalid[2]!r} is not valid; see {parser.prog} --help"
            ) from error
        raise UserError(message) from error


def _check_values(parser: ArgumentParser, argv: list[str]) -> None:
    """Refuse empty values, and those that jsonargparse would expand without end.

    It reads typed values as YAML.
    """
    for before, word in pairwise(["", *argv]):
        option = word.removesuffix("=") if word.endswith("=") else before if not word else ""
        action = parser._option_string_actions.get(option)
        if action is not None and action.nargs != 0 and option != MAY_BE_EMPTY:
            raise UserError(f"{option}: must not be empty")
    option = ""
    for word in argv:
        value = word
        if word.startswith("--"):
            option, _, value = word.partition("=")
        action = parser._option_string_actions.get(option)
        if action is None or hasattr(action, "_typehint"):
            try:
                check_yaml(value)
            except YamlSyntaxError:
                continue  # a name, or not valid: jsonargparse decides
            except InvalidYamlError as error:
                raise UserError(f"{option or shortened(word, 200)}: {error}") from error


def _overview() -> str:
    lines = [f"  {verb:12}{text}" for verb, text in VERBS.items()]
    return "\n".join(
        ["usage: rrnn VERB ...", "", *lines, "", "rrnn VERB --help lists the options of a verb."]
    )
