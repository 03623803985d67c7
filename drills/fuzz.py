"""Feed generated and mutated inputs to everything that reads input, in this process.

Allowed are success, and one line: a `UserError`, or a `ValueError` of a function whose docstring
promises one; for the command, exit code 2. A traceback, a message of several lines, or more than
ten seconds is a failure. Hypothesis draws the inputs; a failure does not stop it.
"""

import contextlib
import io
import json
import os
import signal
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from relational_rnn import RelationalMemory
from relational_rnn.cli import VERBS, main
from relational_rnn.config import TASKS, load
from relational_rnn.config.fields import options
from relational_rnn.errors import UserError
from relational_rnn.report import record
from relational_rnn.runs import Run
from relational_rnn.sweep.plan import KEYS, read_plan
from relational_rnn.tasks.language_modeling import Vocabulary, open_corpus
from relational_rnn.tasks.programs import evaluate

from .commands import Command
from .record import Row
from .small_runs import RUN, make_text, plain

SECONDS = 10
"""An input that takes longer than this hangs."""

ROUND = 5_000
"""Inputs of all kinds before the first kind comes again."""

Strategy = st.SearchStrategy[Any]
Target = tuple[str, int, Strategy, Callable[[Any], object]]
"""What is fuzzed, its share of all inputs, its inputs, and what reads one of them."""


class SlowError(BaseException):
    """An input took too long; no reader may swallow this."""


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Fuzz every reader.

    Args:
        tries: inputs in all.
        random: gives the seed of the inputs.
        folder: an empty folder to work in.
    """
    text = folder / "text"
    make_text(text)
    os.environ |= {"RRNN_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    trained = Command(plain(text), folder).wait()
    if trained.code:
        raise RuntimeError(trained.err)
    signal.signal(signal.SIGALRM, _too_slow)
    with contextlib.chdir(folder):
        targets = [*_parsers(folder), *_files(folder), *_commands()]
        shares = sum(share for _, share, _, _ in targets)
        rows = [Row(f"fuzz, {title}") for title, *_ in targets]
        rounds = max(1, tries // ROUND)
        for _ in range(rounds):
            for row, (_, share, inputs, read) in zip(rows, targets, strict=True):
                count = max(1, tries * share // shares // rounds)
                _fuzz(row, inputs, read, count, random.randrange(2**32))
                yield row


def _fuzz(row: Row, inputs: Strategy, read: Callable[[Any], object], tries: int, key: int) -> None:
    last = row.tries + tries

    def attempt(value: Any) -> None:
        if row.tries == last:
            return
        row.tries += 1
        signal.alarm(SECONDS)
        try:
            read(value)
            row.outcomes["accepted"] += 1
        except (UserError, ValueError) as error:
            row.outcomes["refused"] += 1
            if "\n" in str(error):
                row.fail(f"{value!r:.300}", f"several lines: {error}")
        except BaseException as error:
            row.fail(f"{value!r:.300}", f"{type(error).__name__}: {error!s:.300}")
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            signal.alarm(0)

    checked = given(inputs)(attempt)
    wanted = settings(
        max_examples=tries,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(key)(wanted(checked))()


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise SlowError(f"more than {SECONDS} seconds")


# What the inputs are made of.

WORDS = st.sampled_from(
    ["<unk>", "<eos>", "the", "ß", "日本", "\x1b[2J", "\u2028", "\ud800", "", " "]
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 10**30, -(10**30), 1e308, 2**31, 2**63, 1e-320]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for task in TASKS.values() for name in options(task)})
SMALL_TEXT = st.text(max_size=80)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals with some of its bytes changed, doubled, or lost."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12))
        piece = content[start : start + length]
        content[start : start + length] = draw(
            st.sampled_from([b"", b"\0", b"\xff", b"\n", bytes(piece) * 3]) | st.binary(max_size=6)
        )
    return bytes(content)


def _yaml(values: Any) -> bytes:
    text: str = yaml.safe_dump(values, allow_unicode=True)
    return text.encode("utf-8", errors="surrogatepass")


YAML_WORDS = st.lists(
    st.sampled_from(
        ["- ", ": ", "{", "}", "[", "]", "&a ", "*a ", "!!bool ", "!!timestamp ", "? ", "| ", "\n"]
        + [
            "  ",
            "#",
            "'",
            '"',
            "<<: ",
            "2024-02-31",
            "0x",
            "1e",
            ".inf",
            "~",
            "---\n",
            "%YAML 1.1\n",
        ]
        + [f"{name}: " for name in FIELDS[:12]]
    ),
    max_size=20,
).map(lambda parts: "".join(parts).encode())


def _parsers(folder: Path) -> Iterator[Target]:
    """Functions that read a value."""
    symbols = [
        *"+-*()<>x=[]",
        "if",
        "else",
        "for[",
        "]x+=",
        "x=",
        "9" * 40,
        *string.digits,
        "²",
        " ",
    ]
    programs = st.lists(st.sampled_from(symbols), max_size=24).map("".join) | _programs()
    lengths = st.integers(-2, 30) | NUMBERS
    yield "programs", 45, st.tuples(programs, lengths), lambda given: evaluate(*given)

    yield "Sonnet dictionaries", 15, _sonnet(), _from_sonnet


@st.composite
def _programs(draw: st.DrawFn) -> str:
    """A program of the grammar, of any depth."""
    program = draw(st.integers(0, 10**6).map(str))
    for _ in range(draw(st.integers(0, 6))):
        number = draw(st.integers(0, 999))
        form = draw(
            st.sampled_from(
                [
                    "({0}+{1})",
                    "({1}-{0})",
                    "({0}*{1})",
                    "({0}if{1}<3else{0})",
                    "(x={0}for[3]x+={1})",
                ]
            )
        )
        program = form.format(program, number)[:4000]
    return program


CORE: dict[str, Any] = {"input_size": 3, "mem_slots": 2, "head_size": 2, "num_heads": 2}


@st.composite
def _sonnet(draw: st.DrawFn) -> dict[str, Any]:
    """Variables of a core with some of them renamed, reshaped, lost or of another type."""
    variables: dict[str, Any] = dict(RelationalMemory(**CORE).to_sonnet())
    for _ in range(draw(st.integers(0, 3))):
        if not variables:
            break
        name = draw(st.sampled_from(sorted(variables)))
        value = variables.pop(name)
        change = draw(st.sampled_from(["lose", "rename", "shape", "type", "values"]))
        if change == "rename":
            variables[draw(st.text(max_size=6)) + name[draw(st.integers(0, 20)) :]] = value
        elif change == "shape":
            shape = draw(st.lists(st.integers(0, 5), max_size=4))
            variables[name] = np.zeros(shape, dtype=np.float32)
        elif change == "type":
            kind = draw(st.sampled_from(["f2", "f8", "i4", "c8", "U3", "O", "?", "M8[s]"]))
            shape = list(getattr(value, "shape", ()))  # it may be no array any more
            variables[name] = np.zeros(shape, dtype=kind)
        elif change == "values":
            variables[name] = draw(VALUES)
    return variables


def _from_sonnet(variables: dict[str, Any]) -> object:
    return RelationalMemory.from_sonnet(variables, **CORE)


def _files(folder: Path) -> Iterator[Target]:
    """Functions that read a file."""

    def reading(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def attempt(content: bytes) -> object:
            path.write_bytes(content)
            return read(path)

        return attempt

    run = folder / RUN
    ours = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    fields = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=4)
    configs = fields.map(_yaml) | YAML_WORDS | mutated([ours["config.yaml"]])
    yield "configurations", 12, configs, reading("fuzzed/config.yaml", load)

    plans = st.dictionaries(st.sampled_from(KEYS), VALUES | fields, max_size=5).map(_yaml)
    example = {"base": "demo-rmc", "rows": [{"seed": 1}, {"head_size": 4}], "trials": 2}
    yield (
        "sweep plans",
        4,
        plans | YAML_WORDS | mutated([_yaml(example)]),
        reading("fuzzed/plan.yaml", lambda path: read_plan(str(path), {})),
    )

    listed = st.lists(WORDS | st.text(max_size=4), max_size=6).map(lambda x: json.dumps(x).encode())
    words = (
        listed | VALUES.map(lambda x: json.dumps(x).encode()) | mutated([ours["vocabulary.json"]])
    )
    yield "vocabularies", 40, words, reading("fuzzed/vocabulary.json", Vocabulary.load)

    for name in ("config.yaml", "metrics.csv", "summary.json", "text.json"):
        other = VALUES.map(lambda x: json.dumps(x).encode()) | st.binary(max_size=60)
        yield f"{name} of a run", 4, mutated([ours[name]]) | other, _reading_run(folder, ours, name)

    good = st.lists(st.sampled_from(["<unk>", "the", "ß", "日本", "\n"]), min_size=1, max_size=30)
    lines = (good | st.lists(WORDS | SMALL_TEXT, max_size=30)).map(" ".join)
    texts = lines.map(lambda text: text.encode("utf-8", errors="surrogatepass"))
    splits = st.tuples(*[texts | st.binary(max_size=60) | mutated([b"a b <unk>\na\n"])] * 3)
    yield "texts", 2, splits, lambda given: _open_text(folder / "fuzzed-text", given)


def _reading_run(folder: Path, ours: dict[str, bytes], name: str) -> Callable[[bytes], object]:
    copy = folder / f"fuzzed-{name}"
    copy.mkdir(exist_ok=True)
    for each, content in ours.items():
        (copy / each).write_bytes(content)

    def attempt(content: bytes) -> None:
        (copy / name).write_bytes(content)
        record.read(copy).row()
        run = Run(copy)
        _ = run.config, run.summary, run.text_digest

    return attempt


def _open_text(folder: Path, splits: tuple[bytes, ...]) -> object:
    folder.mkdir(exist_ok=True)
    for name, content in zip(("train", "valid", "test"), splits, strict=True):
        (folder / f"{name}.txt").write_bytes(content)
    return open_corpus(str(folder)).summary()


def _commands() -> Iterator[Target]:
    """The command itself, for verbs that end at once."""
    flags = st.sampled_from([f"--{name.replace('_', '-')}" for name in FIELDS] + OWN_FLAGS)
    values = NUMBERS.map(str) | WORDS | SMALL_TEXT | st.sampled_from(["null", "[1", "{a: &b"])
    words = st.lists(flags | values | st.sampled_from([RUN.name, "demo-rmc", "text"]), max_size=6)
    verbs = st.sampled_from([*VERBS, "--help", "--version", "x"]) | SMALL_TEXT
    yield "command lines", 2, st.tuples(verbs, words), _call


OWN_FLAGS = ["--run", "--resume", "--words", "--prompt", "--top-k", "--top-p", "--split", "--help"]


def _call(given: tuple[str, list[str]]) -> None:
    """Run the command as far as it goes without work, not what trains, measures or serves."""
    verb, words = given
    if verb in ("train", "sweep", "compare", "bench", "demo", "build", "show"):
        words = [*words, "--help"] if "--help" not in words else words
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([verb, *words])
    if code not in (0, 2):
        raise RuntimeError(f"exit code {code}: {err.getvalue()}")
    if code == 2 and err.getvalue().count("\n") != 1:
        raise RuntimeError(f"not one line: {err.getvalue()}")
    if code == 2:
        raise UserError(err.getvalue().strip())
