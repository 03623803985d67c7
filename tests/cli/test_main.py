"""The command itself: help at once, mistakes in one line."""

import argparse
import errno
import re
import subprocess
import sys
import time
from importlib import import_module

import pytest
from jsonargparse import ArgumentParser, Namespace

import relational_rnn
from relational_rnn import cli
from relational_rnn.cli import FILES, VERBS, main

HEAVY = {"torch", "lightning", "matplotlib", "numpy"}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train", "demo-rmc", "--help"],
        ["train", "demo-rmc", "--objects", "3"],
        ["list"],
        ["completion", "bash"],
        ["--version"],
        ["trian"],
    ],
)
def test_answers_without_loading_what_is_slow(words):
    code = (
        "import sys\n"
        "from relational_rnn.cli import main\n"
        f"main({words})\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "relational_rnn", "trian"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: trian: unknown command; did you mean train?\n"


@pytest.mark.slow
def test_help_takes_less_than_half_a_second():
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "relational_rnn", "--help"], check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_overview_names_every_verb(capsys):
    assert main([]) == main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb} " in printed


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{relational_rnn.__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "error: trian: unknown command; did you mean train?"),
        (["train", "--epoch", "3"], "error: --epoch: unknown option; did you mean --epochs?"),
        (["train", "--mem_slot=3"], "error: --mem-slot: unknown option; did you mean --mem-slots?"),
        (
            ["train", "demo-rmc", "--object=3"],
            "error: --object: unknown option; did you mean --objects (nth-farthest has it)?\n",
        ),
        (
            ["train", "cpu-nth-farthest", "--object=3"],
            "error: --object: unknown option; did you mean --objects?",
        ),
        (
            ["train", "demo-rmc", "--objects", "3"],
            "error: --objects: not an option of language-modeling; nth-farthest has it",
        ),
        (
            ["train", "cpu-nth-farthest", "--data", "x"],
            "error: --data: not an option of nth-farthest; language-modeling has it",
        ),
        (["train", "x", "--epochs"], "error: argument --epochs: expected one argument"),
        (["train", "wikitext-rmc"], "error: wikitext-rmc: no such configuration; did you mean "),
        (["train", "a", "b"], "error: unrecognized arguments: b"),
        (
            ["generate", "a", "--temperature", "nan"],
            "error: --temperature: must be a number, got 'nan'",
        ),
        (["generate", "a", "--words", "2.5"], "error: --words: must be a whole number, got '2.5'"),
        (["generate", "a", "--top-k", "b"], "error: --top-k: must be a whole number, got 'b'"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, words, line):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1


@pytest.fixture
def given(monkeypatch):
    """What the verb train was given."""
    found = []
    monkeypatch.setattr("relational_rnn.cli.train.run", lambda arguments: found.append(arguments))
    return found


def test_options_are_taken_with_dashes_and_underscores(given):
    words = ["train", "nth-farthest", "--mem_slots", "4", "--head-size=8", "--betas", "0.9", "0.99"]
    assert main([*words, "--tied", "--data", "a_b"]) == 0
    arguments: Namespace = given[0]
    assert (arguments.config, arguments.mem_slots, arguments.head_size) == (
        "nth-farthest",
        "4",
        "8",
    )
    assert (arguments.betas, arguments.tied, arguments.data) == (["0.9", "0.99"], "true", "a_b")
    assert "key_size" not in arguments


@pytest.mark.parametrize(
    ("raised", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 1)], ids=["ctrl-c", "pipe"]
)
def test_interruptions_are_at_most_one_line(monkeypatch, capfd, raised, code):
    def run(arguments):
        raise raised

    monkeypatch.setattr("relational_rnn.cli.train.run", run)
    monkeypatch.setattr("os.dup2", lambda *descriptors: None)
    assert main(["train"]) == code
    printed = capfd.readouterr()
    assert printed.err == ("interrupted\n" if raised is KeyboardInterrupt else "")


def test_options_without_effect_are_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relational_rnn.cli.train._fit", lambda *arguments, **options: 0)
    assert main(["train", "language-modeling", "--hidden-size", "5", "--mem-slots", "2"]) == 0
    assert capsys.readouterr().err == "note: hidden_size has no effect: model is rmc\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "the output: No space left on device"),
    ],
)
def test_errors_of_the_file_system_are_told_in_one_line(monkeypatch, capsys, error, line):
    def run(argv):
        raise error

    monkeypatch.setattr(cli, "_run", run)
    assert main(["data"]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_name_that_is_too_long(capsys):
    assert main(["data", "x" * 300]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_while_the_package_is_imported_is_one_line():
    code = (
        "import runpy, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'relational_rnn.signals':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "runpy.run_module('relational_rnn', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_the_package_is_imported_without_reading_its_metadata():
    code = "import sys, relational_rnn; print('importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_no_python_and_names_every_default(capsys, verb):
    assert main([verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert not re.search(
        r"type:|class|\(default|\(required|null\)", text.replace("the class path", "")
    )
    parser = ArgumentParser(exit_on_error=False)
    import_module(f"relational_rnn.cli.{FILES.get(verb, verb)}").add(parser)
    for action in parser._actions:
        if action.default not in (None, False, "", argparse.SUPPRESS) and action.dest != "help":
            assert f"[{action.default}]" in action.help, action.dest
