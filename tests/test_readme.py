"""README.md, docs/ and all other pages: tables as in results/, code that runs, links that exist."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jsonargparse import ArgumentParser

from relational_rnn import cli
from relational_rnn.cli import VERBS, main, train
from relational_rnn.compare.suite import read_suite
from relational_rnn.config import load
from relational_rnn.report.readme_tables import BLOCK, BLOCKS, fill
from relational_rnn.sweep.plan import read_plan

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "src" / "relational_rnn"
OTHERS = [
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "drills" / "README.md",
    *sorted(PACKAGE.glob("**/README.md")),
]
FENCE = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```([\w{}-]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"```.*?```", re.DOTALL)
TRAIN = ("--max-steps", "2", "--embedding-size", "8", "--head-size", "4", "--bptt", "8")
CODE = ("bash", "python", "yaml", "sh", "console", "pycon")
WIDEST = 90  # characters of a line of code that the column of the site holds
READERS = {"read as a sweep": read_plan, "read as a suite": read_suite}

page_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
any_page = pytest.mark.parametrize(
    "page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT))
)


def blocks(page):
    """The fenced blocks of a page: what the comment before it says, its language, its text."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def fences(page, language, *, runnable):
    """The contents of the fenced blocks of a page."""
    return [
        text
        for mark, kind, text in blocks(page)
        if kind == language and (mark == "runnable") == runnable
    ]


def arguments_of(line):
    """The arguments of a line that calls rrnn."""
    words = shlex.split(line, comments=True)
    if words[0] == ".venv/bin/rrnn":
        return words[1:]
    return words[1 + words.index("rrnn" if "rrnn" in words else "relational_rnn") :]


def commands(page, *, runnable):
    """The arguments of every line that calls rrnn."""
    lines = "\n".join(fences(page, "bash", runnable=runnable)).replace("\\\n", "").splitlines()
    starts = ("rrnn ", ".venv/bin/rrnn ", "srun rrnn ", "torchrun ")
    return [arguments_of(line) for line in lines if line.startswith(starts)]


def inline_commands(page):
    """The arguments of the commands in the running text, which often leave something out."""
    text = FENCED.sub("", BLOCK.sub("", page.read_text(encoding="utf-8")))
    return [arguments_of(code) for code in re.findall(r"`(rrnn [^`]+)`", text)]


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


@any_page
def test_links_lead_somewhere(page):
    """Of links to other sites only the form is checked: the tests use no network."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urlsplit(link)
        if url.scheme:
            assert url.scheme == "https", link
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", url.netloc), link
            continue
        file = page.parent / url.path if url.path else page
        assert file.exists(), link
        if url.fragment:
            assert url.fragment in headings(file), link


def test_links_of_the_built_package_are_absolute():
    """The page of a package index has no other file; pyproject.toml says what its links become."""
    text = PAGES[0].read_text(encoding="utf-8")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    for change in tool["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    pictures = [line for line in text.splitlines() if line.startswith("![")]
    assert pictures
    assert all("](https://raw.githubusercontent.com/" in line for line in pictures)


@any_page
def test_blocks_of_code_are_run_or_say_why_not(page):
    for mark, language, text in blocks(page):
        if language in CODE:
            assert language in ("bash", "python", "yaml"), language
            assert re.fullmatch(r"runnable|not run: .+|from: .+|read as a .+", mark), text


@any_page
def test_lines_of_code_fit_the_column_of_the_site(page):
    for _, language, text in blocks(page):
        if language in CODE:
            assert [line for line in text.splitlines() if len(line) > WIDEST] == []


def unwrapped(code):
    """Code without blanks and line ends, which the formatter sets by the indentation."""
    return re.sub(r"\s", "", code).replace(",)", ")")


@any_page
def test_excerpts_are_as_in_the_source(page):
    for mark, _, text in blocks(page):
        if mark.startswith("from: "):
            source = (PACKAGE / mark.removeprefix("from: ")).read_text(encoding="utf-8")
            assert unwrapped(text) in unwrapped(source), text


@page_of
def test_files_of_sweeps_and_suites_are_read(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for mark, language, text in blocks(page):
        if language == "yaml":
            name = text.splitlines()[0].removeprefix("# ")
            Path(name).write_text(text, encoding="utf-8")
            READERS[mark](name)


def headings(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def parser_of(verb):
    """The parser of a verb."""
    assert verb in VERBS
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    importlib.import_module(f"relational_rnn.cli.{cli.FILES.get(verb, verb)}").add(parser)
    return parser


@any_page
def test_commands_are_understood(page):
    for verb, *rest in commands(page, runnable=True) + commands(page, runnable=False):
        rest = [word for word in rest if word != "--help"]
        arguments = vars(parser_of(verb).parse_args(rest))
        if verb == "train" and arguments["config"] and "/" not in arguments["config"]:
            load(arguments["config"], {k: v for k, v in arguments.items() if k not in train.OWN})


@any_page
def test_options_in_the_text_exist(page):
    for verb, *rest in inline_commands(page):
        options = {word for word in rest if word.startswith("--")} - {"--help"}
        if verb.startswith("--") or verb == "VERB":
            continue
        assert options <= parser_of(verb)._option_string_actions.keys(), (verb, options)


@pytest.mark.parametrize("code", [code for page in PAGES for code in runs_of_a_page(page)])
def test_python_of_the_pages_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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


def test_first_screen_of_the_readme():
    """A sentence, a picture, two commands that need nothing before them, lines of module use."""
    lines = PAGES[0].read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("![") for line in lines[:10])
    (_, language, shell), (mark, *_) = blocks(PAGES[0])[:2]
    first, second = shell.splitlines()
    assert (language, mark) == ("bash", "runnable")
    assert first.split()[:2] == ["make", "demo"]
    assert second.startswith(".venv/bin/rrnn ")
    assert lines.index("## Install") < 50


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
