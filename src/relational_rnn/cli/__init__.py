"""The command ``relational-rnn`` (short ``rrnn``): one verb, one file.

Each file defines ``add(parser)``, which adds the verb's arguments, and ``run(arguments)``, which
does the work and returns the exit code (None: 0). Torch is imported inside ``run`` alone, so that
help answers at once.
"""

import errno
import io
import os
import re
import sys
from argparse import ArgumentError
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from .. import __version__
from ..allocator import keep_freed_memory
from ..config.fields import nearest
from ..errors import UserError
from ..files import as_json

VERBS = {
    "train": "train a model, or go on with a run",
    "test": "perplexity of a run's model",
    "generate": "continue a text",
    "score": "perplexity and per-word loss of a text",
    "data": "prepare a corpus and count its words",
    "report": "learning curves and a table of several runs",
    "inspect": "look at the attention and the gates of a run's model",
    "bench": "measure speed",
    "sweep": "train with many settings and compare them",
    "build": "compile the native CPU core ahead of its first use",
    "demo": "train a small RMC and a small LSTM and compare them",
}
"""Every verb with its line of help; the file of a verb has its name."""

NUMBERS = {"int": "a whole number", "float": "a number"}

TOLD = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT)
"""Errors of the file system that are told in a line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a user's mistake, told in one line."""
    given = list(sys.argv[1:] if argv is None else argv)
    _let_everything_be_printed()
    try:
        code = _run(given)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone: nothing more to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # Of a file that the user named, or the output: anything else is no mistake of the user's.
        if error.errno not in TOLD:
            raise
        print(f"error: {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return 2
    return code


def _let_everything_be_printed() -> None:
    """In an encoding that lacks a letter "?" takes its place; without an output nothing does."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one line, the last of stdout with ``--json``."""
    print(as_json(result), flush=True)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(__version__)
        return 0
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        hint = nearest(verb, VERBS) or f"; it takes {', '.join(VERBS)}"
        raise UserError(f"{verb}: unknown command{hint}")
    keep_freed_memory()
    module = import_module(f".{verb}", __name__)
    parser = ArgumentParser(
        prog=f"rrnn {verb}", description=module.__doc__, exit_on_error=False, allow_abbrev=False
    )
    module.add(parser)
    if {"-h", "--help"} & set(rest):
        parser.print_help()
        return 0
    return module.run(_parse(parser, rest)) or 0


def _parse(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse, taking ``--mem_slots`` for ``--mem-slots``, and tell a mistake in one line."""
    dashed = [
        re.sub("^--[^=]*", lambda match: match[0].replace("_", "-"), argument) for argument in argv
    ]
    try:
        return parser.parse_args(dashed)
    except ArgumentError as error:
        message = " ".join(str(error).split())
        unknown = re.search(r"unrecognized arguments: (\S+)", message, re.IGNORECASE)
        if unknown and unknown[1].startswith("-"):
            options = re.findall(r"--[a-z][a-z0-9-]*", parser.format_help())
            option = unknown[1].split("=")[0]
            raise UserError(f"{option}: unknown option{nearest(option, options)}") from error
        invalid = re.match(r'Parser key "([^"]+)".*?(?:Given value:|Got value:) (.*)$', message)
        if invalid:
            option = f"--{invalid[1].replace('_', '-')}"
            expected = re.search(r"Expected (?:a )?<class '(int|float)'>", message)
            takes = f"it takes {NUMBERS[expected[1]]}" if expected else f"see {parser.prog} --help"
            raise UserError(f"{option}: {invalid[2]!r} is not valid; {takes}") from error
        raise UserError(message) from error


def _overview() -> str:
    lines = [f"  {verb:10}{text}" for verb, text in VERBS.items()]
    return "\n".join(
        ["usage: rrnn VERB ...", "", *lines, "", "rrnn VERB --help tells what a verb takes."]
    )
