"""What a user's environment holds does not end a command with a traceback."""

import os
import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-m", "relational_rnn")


def command(*words, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.fixture
def latex(tmp_path):
    """A matplotlibrc that is not UTF-8; the one of the working folder asks for LaTeX."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n", encoding="utf-8")
    path = tmp_path / "mine"
    path.write_bytes(b"font.family: \xff\n")
    return path


def test_the_backend_of_a_notebook_and_a_matplotlibrc(make_run, latex):
    make_run()
    done = command(
        *("report", "mine"),
        MPLBACKEND="module://no_such_package.backend_inline",
        MATPLOTLIBRC=str(latex),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"report/curves.png" in done.stdout


@pytest.mark.slow
def test_training_with_the_backend_of_a_notebook():
    few = ("--valid-examples", 10, "--test-examples", 10, "--max-steps", 1, "--head-size", 4)
    done = command("train", "nth-farthest", *few, MPLBACKEND="module://no_such_package.inline")
    assert (done.returncode, done.stderr) == (0, b"")


def test_latex_is_off_in_a_program_of_the_user(make_run, rrnn):
    import matplotlib as mpl

    make_run()
    with mpl.rc_context({"text.usetex": True}):
        assert rrnn("report", "mine").code == 0


def test_a_user_without_a_home(monkeypatch, rrnn, text):
    def user_cache_path(name):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("RRNN_CACHE")
    monkeypatch.setattr(
        "relational_rnn.tasks.language_modeling.corpus.user_cache_path", user_cache_path
    )
    answer = rrnn("data", "text")
    assert answer.code == 2
    assert answer.err == (
        "error: the cache: this user has no home folder; set RRNN_CACHE to a folder\n"
    )


@pytest.mark.parametrize("utf8", ["1", "0"])
def test_the_locale_c(utf8, make_run, tmp_path):
    """In UTF-8 mode, Python's own choice here, all names work; in ASCII they are one line."""
    make_run("é")
    done = command("list", "--json", LC_ALL="C", PYTHONUTF8=utf8, PYTHONIOENCODING="")
    assert (done.returncode, done.stderr) == (0, b"")
    done = command("report", "é", LC_ALL="C", PYTHONUTF8=utf8, PYTHONIOENCODING="")
    if utf8 == "1":
        assert (done.returncode, done.stderr) == (0, b"")
    else:
        assert done.returncode == 2
        assert done.stderr == (
            b"error: \\xc3\\xa9: not valid UTF-8; give it in UTF-8 (a file or folder: rename it)\n"
        )
