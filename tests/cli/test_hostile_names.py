"""Escape sequences in names and words are shown, not obeyed, and names must be UTF-8."""

import shutil

import pytest

from relational_rnn.report.terminal import WideTable
from relational_rnn.runs import Run

CLEAR = "\x1b[2J"  # clears the terminal
SHOWN = "\\x1b[2J"
NAME = f"evil{CLEAR}\u202e"


def is_clean(text):
    return not any(letter in text for letter in "\x1b\x07\x9b\u202e")


@pytest.fixture
def hostile(make_run, text):
    """A run with escape sequences in its name and its vocabulary."""
    for path in text.glob("*.txt"):
        path.write_text(path.read_text(encoding="utf-8").replace("cat", f"cat{CLEAR}"))
    return make_run(NAME)


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("test", NAME),
        ("generate", NAME, "--words", 60, "--seed", 1, "--prompt", f"the cat{CLEAR}\nthe"),
        ("score", NAME, "text/valid.txt"),
        ("inspect", NAME, "--prompt", f"the cat{CLEAR}"),
        ("report", NAME, "--output", f"report{CLEAR}"),
    ],
    ids=lambda words: words[0],
)
def test_no_escape_sequence_reaches_the_terminal_or_a_page(rrnn, hostile, words, tmp_path):
    answer = rrnn(*words, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert is_clean(answer.out)
    assert SHOWN in answer.out
    for page in tmp_path.glob("report*/*.html"):
        assert is_clean(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "words",
    [
        ("train", f"x{CLEAR}"),
        (f"x{CLEAR}",),
        ("train", f"--x{CLEAR}"),
        ("train", "demo-rmc", "--mem-slots", CLEAR),
        ("test", "demo", "--batch-size", CLEAR),
        ("data", f"x{CLEAR}"),
        ("data", f"x{CLEAR}" * 100),
        ("report", NAME),
    ],
)
def test_no_escape_sequence_is_in_a_message(rrnn, words):
    answer = rrnn(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert is_clean(answer.err)
    assert answer.err.count("\n") == 1


def test_a_broken_run_with_such_a_name(rrnn, hostile):
    hostile.summary_path.write_text("{", encoding="utf-8")
    answer = rrnn("list")
    assert answer.code == 0
    assert is_clean(answer.out + answer.err)
    assert SHOWN in answer.err


def test_training_prints_such_a_name(rrnn):
    few = ("--valid-examples", 10, "--test-examples", 10, "--max-steps", 1)
    answer = rrnn("train", "nth-farthest", *few, "--head-size", 4, "--run", NAME)
    assert answer.code == 0
    assert is_clean(answer.out + answer.err)
    assert SHOWN in answer.out
    assert Run(f"runs/{NAME}").weights_path.is_file()  # the file keeps its name


def test_cells_of_a_table():
    table = WideTable(header=["name"], rows=[[CLEAR]])
    assert table.rows == [[SHOWN]]


def test_long_messages_lose_their_middle(rrnn):
    answer = rrnn("train", "x" * 100_000)
    assert answer.code == 2
    assert len(answer.err) < 3000


@pytest.mark.parametrize(
    "words",
    [
        ("train", "nth-farthest", "--run", "a\udcff"),
        ("train", "--resume", "a\udcff"),
        ("train", "a\udcff.yaml"),
        ("generate", "demo", "--prompt", "\udcff"),
        ("score", "demo", "\udcff.txt"),
        ("data", "\udcff"),
        ("list\udcff",),
    ],
)
def test_a_name_that_is_not_utf8_is_one_line(rrnn, words, tmp_path):
    answer = rrnn(*words)
    assert (answer.code, answer.out) == (2, "")
    assert "\\xff" in answer.err
    told = ": not valid UTF-8; give it in UTF-8 (a file or folder: rename it)\n"
    assert answer.err.endswith(told)
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_folder_is_not_utf8_is_listed(rrnn, make_run, tmp_path):
    make_run()
    shutil.copytree("runs/mine", "runs/min\udcff")
    answer = rrnn("list", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert "min\\xff" in answer.out


def test_work_in_a_folder_that_is_not_utf8(rrnn, make_run, tmp_path, monkeypatch):
    folder = tmp_path / "a\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_run()
    for words in (("report", "mine"), ("test", "mine"), ("list",), ("report", ".")):
        if words[1:] == (".",):
            monkeypatch.chdir(folder / "runs" / "mine")
        answer = rrnn(*words, "--json")
        assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("data", "text", "--output", ""),
        ("data", "text", "--split="),
        ("data", "text", "--tokens", "", "--lower"),
        ("train", "memorization", "--run", ""),
        ("train", "language-modeling", "--data", ""),
        ("train", "nth-farthest", "--match-weights", ""),
        ("report", "demo", "--output", ""),
        ("export", "demo", "--hub="),
        ("inspect", "demo", "--output", ""),
    ],
    ids=" ".join,
)
def test_an_empty_value_is_one_line(rrnn, words, tmp_path):
    answer = rrnn(*words)
    option = next(word for word in words[2:] if word.startswith("--")).removesuffix("=")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {option}: must not be empty\n"
    assert not any(tmp_path.iterdir())


def test_an_empty_prompt_is_none(rrnn, make_run):
    make_run()
    drawn = [
        rrnn("generate", "mine", "--words", 3, "--seed", 1, *prompt)
        for prompt in ((), ("--prompt", ""), ("--prompt=",))
    ]
    assert drawn[0].code == 0
    assert drawn[0].out == drawn[1].out == drawn[2].out
