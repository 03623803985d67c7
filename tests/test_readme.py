"""README.md and docs/ tell the truth: tables as in results/, commands that run, links that lead."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from relational_rnn.cli import VERBS, main
from relational_rnn.config import load
from relational_rnn.report.tables import fill

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(<!-- runnable -->\n)?```(bash|python)\n(.*?)```", re.DOTALL)
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


@page_of
def test_tables_are_those_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert fill(text, ROOT / "results", base=page.parent) == text, "run: make readme"


@page_of
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


@page_of
def test_commands_are_understood(page):
    for verb, *rest in commands(page, runnable=True) + commands(page, runnable=False):
        assert verb in VERBS
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
        importlib.import_module(f"relational_rnn.cli.{verb}").add(parser)
        arguments = vars(parser.parse_args(rest))
        if verb == "train" and arguments["config"] and "/" not in arguments["config"]:
            own = ("config", "run", "resume", "logger", "json")
            load(arguments["config"], {k: v for k, v in arguments.items() if k not in own})


@pytest.mark.parametrize("code", fences(PAGES[0], "python", runnable=True))
def test_python_of_the_readme_runs(code):
    exec(code, {})


def test_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", str(tmp_path / "cache"))
    Path("my-text").mkdir()
    for split, times in (("train", 200), ("valid", 5), ("test", 5)):
        text = "the cat sat on the mat\na dog saw the cat\n" * times
        Path("my-text", f"{split}.txt").write_text(text, encoding="utf-8")
    called = commands(PAGES[0], runnable=True)
    for verb, *rest in called:
        new = verb == "train" and "--resume" not in rest
        if "--resume" in rest:
            rest = [*rest[: rest.index("--epochs")], "--max-steps", "3"]
        assert main([verb, *rest, *(TRAIN if new else ())]) == 0, (verb, capsys.readouterr())
    assert {verb for verb, *_ in called} >= {"data", "train", "test", "report", "generate", "score"}
    assert Path("my-report/curves.png").is_file()
    assert Path("runs/my-rmc/summary.json").is_file()
