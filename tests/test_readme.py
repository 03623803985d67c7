"""README.md and docs/: tables as in results/, commands and code that run, links that exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from relational_rnn import cli
from relational_rnn.cli import VERBS, main, train
from relational_rnn.config import load
from relational_rnn.report.readme_tables import BLOCK, BLOCKS, fill

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(<!-- runnable -->\n)?```(bash|python)\n(.*?)```", re.DOTALL)
FENCED = re.compile(r"```.*?```", re.DOTALL)
TRAIN = ("--max-steps", "2", "--embedding-size", "8", "--head-size", "4", "--bptt", "8")

page_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fences(page, language, *, runnable):
    """The contents of the fenced blocks of a page."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for mark, kind, text in found if kind == language and bool(mark) == runnable]


def commands(page, *, runnable):
    """The arguments of every line that calls rrnn."""
    lines = "\n".join(fences(page, "bash", runnable=runnable)).splitlines()
    starts = ("rrnn ", "srun rrnn ", "torchrun ")
    words = [shlex.split(line, comments=True) for line in lines if line.startswith(starts)]
    return [
        line[1 + line.index("rrnn" if "rrnn" in line else "relational_rnn") :] for line in words
    ]


def runs_of_a_page(page):
    """The fenced blocks of a page that are marked as runnable."""
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for number, code in enumerate(fences(page, "python", runnable=True))
    ]


@page_of
def test_tables_equal_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert fill(text, ROOT / "results", base=page.parent) == text, "run: make readme"


def test_every_table_stands_once():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(match[2] for match in BLOCK.finditer(text)) == sorted(BLOCKS)


@page_of
def test_links_to_files_and_headings_exist(page):
    text = page.read_text(encoding="utf-8")
    for target, _, heading in (
        link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)
    ):
        if not target.startswith("http"):
            file = page.parent / target if target else page
            assert file.exists(), target
            if heading:
                assert heading in headings(file), f"{target}#{heading}"


def headings(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@page_of
def test_commands_are_understood(page):
    for verb, *rest in commands(page, runnable=True) + commands(page, runnable=False):
        assert verb in VERBS
        rest = [word for word in rest if word != "--help"]
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
        file = cli.FILES.get(verb, verb)
        importlib.import_module(f"relational_rnn.cli.{file}").add(parser)
        arguments = vars(parser.parse_args(rest))
        if verb == "train" and arguments["config"] and "/" not in arguments["config"]:
            load(arguments["config"], {k: v for k, v in arguments.items() if k not in train.OWN})


@pytest.mark.parametrize("code", [code for page in PAGES for code in runs_of_a_page(page)])
def test_python_of_the_pages_runs(code):
    exec(code, {})


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page, runnable=True)], ids=lambda page: page.name
)
def test_commands_of_the_pages_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", str(tmp_path / "cache"))
    Path("my-text").mkdir()
    for split, times in (("train", 200), ("valid", 5), ("test", 5)):
        text = "the cat sat on the mat\na dog saw the cat\n" * times
        Path("my-text", f"{split}.txt").write_text(text, encoding="utf-8")
    for verb, *rest in commands(page, runnable=True):
        new = verb == "train" and "--resume" not in rest
        if "--resume" in rest:
            rest = [*rest[: rest.index("--epochs")], "--max-steps", "3"]
        assert main([verb, *rest, *(TRAIN if new else ())]) == 0, (verb, capsys.readouterr())
        for output in (rest[place + 1] for place, word in enumerate(rest) if word == "--output"):
            assert Path(output, "curves.png").is_file()
    assert Path("runs/my-rmc/summary.json").is_file()


def test_which_commands_are_run():
    run = {page.stem: [verb for verb, *_ in commands(page, runnable=True)] for page in PAGES}
    assert run["README"] == ["data", "train", "test", "generate"]
    assert {"data", "train", "test", "report", "generate", "score", "inspect"} <= {*run["guide"]}


def test_first_commands_of_the_readme_make_rrnn_known_to_the_shell():
    first, second, *_ = fences(PAGES[0], "bash", runnable=False)
    made, activated = (line.partition("#")[0].strip() for line in first.splitlines())
    assert made == "make demo"
    assert activated == "source .venv/bin/activate"
    assert second.startswith("rrnn ")


PRIVATE = re.compile(
    r"it takes|go(es|ing|ne)? on with|\bthat of\b|\bthose of\b|parted by|came of it"
    r"|\b(no|some)body\b|\bfor ever\b|to be had|\bbeside\b|\bcomes? to\b|\bcame to\b|\bborne?\b"
    r"|\blearnt\b|\ba number of\b|says why|has its say|said to be|with their proof|worth anything"
)
"""Phrases that the pages avoid."""


@page_of
def test_pages_are_written_in_plain_terms(page):
    written = BLOCK.sub("", page.read_text(encoding="utf-8"))
    text = " ".join(FENCED.sub("", written).split())
    assert [match[0] for match in PRIVATE.finditer(text)] == []


def test_files_and_functions_of_the_walks_exist():
    """docs/how-it-works.md names files of the package, and functions and classes in them."""
    text = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "relational_rnn"
    folders = (package, package / "ops" / "relational_memory")
    steps = re.findall(r"^\d\. .*?(?=\n\d\. |\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r"`([\w./]+)`", "\n".join(steps))
    source = ""
    for name in names:
        if name.endswith(".py"):
            found = [folder / name for folder in folders if (folder / name).is_file()]
            assert found, name
            source += found[0].read_text(encoding="utf-8")
    for name in names:
        if re.fullmatch(r"[A-Za-z_]\w+(\.(?!py|txt|csv|yaml)\w+)?", name):
            assert all(re.search(rf"\b{part}\b", source) for part in name.split(".")), name
