"""Completion scripts: what bash and fish offer, and that zsh can read its own."""

import shutil
import subprocess
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from relational_rnn.cli import VERBS, main
from relational_rnn.cli.completion import SHELLS

ASK_BASH = """
source ./rrnn.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_rrnn
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_FISH = "source ./rrnn.fish; complete -C (string join ' ' -- $argv)"
HOSTILE = "$(touch evil)"


@cache
def script(shell):
    """The script for a shell."""
    with redirect_stdout(StringIO()) as printed:
        assert main(["completion", shell]) == 0
    return printed.getvalue()


@pytest.fixture(params=["bash", "fish"])
def offered(request):
    """What the shell offers for the last of some words."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    Path(f"rrnn.{shell}").write_text(script(shell), encoding="utf-8")
    for folder in ("mine", "two", HOSTILE):
        Path("runs", folder).mkdir(parents=True)
    Path("rates.yaml").touch()

    def ask(*words):
        words = ("rrnn", *words)
        command = ["-c", ASK_BASH, "bash", *words] if shell == "bash" else ["-c", ASK_FISH, *words]
        done = subprocess.run([shell, *command], capture_output=True, text=True, check=True)
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    return ask


def test_commands(offered):
    assert offered("") >= VERBS.keys()


def test_options_and_their_values(offered):
    assert "--device" in offered("test", "mine", "--dev")
    assert offered("test", "mine", "--device", "") >= {"auto", "cpu", "cuda"}


def test_fields_of_all_tasks(offered):
    assert "--gate-style" in offered("train", "--gate")
    assert offered("train", "--gate-style", "") >= {"unit", "memory"}
    assert "--group" in offered("train", "--gro")


def test_names(offered):
    assert offered("train", "cpu-nth") >= {"cpu-nth-farthest", "cpu-nth-farthest-lstm"}
    assert offered("compare", "mem") == {"memory", "memory-quick"}
    assert "wikitext2-published" in offered("sweep", "wiki")
    assert "rates.yaml" in offered("sweep", "rat")
    assert offered("completion", "") >= set(SHELLS)


@pytest.mark.parametrize(
    "words",
    [("test",), ("report", "mine"), ("train", "--resume"), ("train", "--match-weights")],
    ids=" ".join,
)
def test_runs_and_shipped_models(offered, words):
    assert offered(*words, "") >= {"mine", "two", "wikitext2-rmc"}


def test_a_name_on_the_disk_is_not_executed(offered, request):
    names = offered("test", "") | offered("test", "$")
    assert not Path("evil").exists()
    if request.node.callspec.params["offered"] == "bash":  # which would not quote it
        assert HOSTILE not in names


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_it(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    Path("script").write_text(script(shell), encoding="utf-8")
    subprocess.run([shell, "-n", "script"], check=True)


def test_other_shells_are_refused_in_one_line(rrnn):
    answer = rrnn("completion", "ksh")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
