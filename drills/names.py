"""Hostile names: of runs, sweeps, texts, files and words, in every command that is given one.

Allowed are success and one line. No control character may reach the terminal, nothing may be
written outside the working folder, and nothing may be run.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .commands import Command, HangError
from .record import Row
from .small_runs import RUN, Words, make_text, plain

NAMES = [
    *("\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\nb", "a\rb", "a\tb", "\u202egnp.exe", "\u2028"),
    *("?mode=memory", "q#b", "50%25", "a&b", "file:///x", "sqlite:///x", "a'b", 'a"b', "a\\b"),
    *(
        "$(touch ran)",
        "`touch ran`",
        "; touch ran",
        "| touch ran",
        "<script>",
        "{{7*7}}",
        "${HOME}",
    ),
    *(
        "-",
        "--",
        "-x",
        "--json",
        "..",
        ".",
        "...",
        "~",
        " ",
        "a b",
        "größe",
        "日本",
        "🙂",
        "_first",
    ),
    *("a" * 255, "a" * 300, "é" * 127, "CON", "nul.", "*", "[a]", "a/b", "a\udcff", "null", "1e3"),
]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def commands(name: str, text: Path) -> list[Words]:
    """The commands that are given a name."""
    return [
        (*plain(text), "--max-steps", 1, "--run", name),
        ("test", name),
        ("report", RUN, "--output", name),
        ("inspect", RUN, "--output", name),
        ("generate", RUN, "--words", 3, "--prompt", name),
        ("score", RUN, name),
        ("data", name),
        ("train", name),
        ("train", "--resume", name),
        ("sweep", name, "--run", name),
        (name,),
        ("train", f"--{name}"),
    ]


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Give hostile names to commands.

    Args:
        tries: pairs of a name and a command.
        random: chooses them.
        folder: an empty folder to work in.
    """
    text, home = folder / "text", folder / "inner" / "home"
    make_text(text)
    home.mkdir(parents=True)
    trained = _run(plain(text), home)
    if trained:
        raise RuntimeError(trained)
    pairs = [(name, words) for name in NAMES for words in commands(name, text)]
    # A user who asks for the parent folder gets it.
    pairs = [(name, words) for name, words in pairs if (name, "--output" in words) != ("..", True)]
    row = Row("hostile names")
    outside = _paths(folder)
    for name, words in random.sample(pairs, min(tries, len(pairs))):
        row.tries += 1
        where = f"{words[0]!s:.20} with {name!a:.40}"
        try:
            if reason := _run(words, home):
                row.fail(where, reason)
        except HangError as error:
            row.fail(where, str(error))
        if found := _paths(folder) - outside:
            row.fail(where, f"written outside of the working folder: {sorted(found)}")
            outside |= found
        if list(home.rglob("ran")):
            row.fail(where, "a part of the name was run as a command")
        yield row


def _run(words: Words, home: Path) -> str:
    """Run a command; return what is wrong with how it ended."""
    ended = Command(words, home, environment={"RRNN_CACHE": str(home / "cache")}).wait()
    if ended.code not in (0, 2):
        return f"ended with {ended.code}: {ended.err.strip()}"
    if control := CONTROL.search(ended.out + ended.err):
        return f"{control[0]!a} reaches the terminal"
    return ended.fault


def _paths(folder: Path) -> set[str]:
    """Everything below a folder except what is in the working folder."""
    inner = str(folder / "inner" / "home")
    return {
        path
        for parent, names, files in os.walk(folder)
        for path in (os.path.join(parent, name) for name in names + files)
        if not path.startswith(inner)
    }
