"""Tables for the terminal: whatever the width, no cell is cut."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from relational_rnn.report.comparison import as_table, cells, columns
from relational_rnn.report.record import read
from relational_rnn.report.terminal import WideTable

NAMES = {
    "short": ("one", "two"),
    "long": ("wikitext2-rmc-without-dropout-and-with-a-long-name-1", "wikitext2-lstm-1"),
    "longest": ("x".join(map(str, range(70))), "two"),
    "cjk": ("言語モデルの長い名前をもつ実行-1", "关系记忆核心"),
    "markup": ("[bold]one", "[red]"),
}


def printed(table, width):
    shown = io.StringIO()
    Console(width=width, file=shown).print(table)
    lines = shown.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in shown.getvalue()
    return lines


def tokens(lines):
    """Everything between blanks; a name that is folded over several lines is put together again."""
    return [word for line in lines for word in line.split()]


def holds(lines, text):
    """Whether a text is printed whole: in one line, or alone in lines that it fills to the end."""
    return any(text in line for line in lines) or text in "".join(line.rstrip() for line in lines)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_every_name_and_number_is_whole_at_every_width(make_run, names):
    records = [read(make_run(name, summary=name != names[1])) for name in names]
    header, rows = columns(records), cells(records)
    table = as_table(records)
    for width in range(30, 201):
        lines = printed(table, width)
        words = tokens(lines)
        for name in names:
            assert holds(lines, name), (width, name)
        for row in rows:
            for cell in row[1:]:
                assert all(word in words for word in cell.split()), (width, cell)
        for name in header[1:]:
            assert name in words, (width, name)


def test_a_table_that_fits_is_printed_once(make_run):
    records = [read(make_run(name)) for name in ("one", "two")]
    lines = printed(as_table(records), 80)
    assert sum("one" in line for line in lines) == 1
    assert any(re.search(r"one +rmc +1.23 M +4,000 +1.5 min +457 +80.25 +77.12", x) for x in lines)


def test_a_wider_one_is_split_and_names_its_rows_in_each_part():
    table = WideTable(
        header=["name", *(f"figure {x}" for x in range(8))],
        rows=[[f"row-{y}", *(f"{x}{y}0.25" for x in range(8))] for y in range(3)],
    )
    lines = printed(table, 50)
    assert [sum(f"row-{y}" in line for line in lines) for y in range(3)] == [2, 2, 2]
    row = next(line for line in lines if "row-1" in line)
    assert row.split() == ["row-1", "010.25", "110.25", "210.25", "310.25"]


def test_a_very_narrow_terminal_gets_lists():
    table = WideTable(
        title="a title",
        caption="a caption",
        header=["rank", "trial", "learning rate", "error"],
        rows=[["1", "3", "0.001", "–"], ["failed", "0", "0.1", "no memory"]],
        keys=2,
    )
    assert printed(table, 22) == [
        "a title",
        "",
        "rank 1  trial 3",
        "  learning rate: 0.001",
        "  error: –",
        "",
        "rank failed  trial 0",
        "  learning rate: 0.1",
        "  error: no memory",
        "",
        "a caption",
    ]


def test_lists_are_aligned_where_there_is_room():
    table = WideTable(header=["run", "valid", "test"], rows=[["a-run-with-a-name", "1.5", "2.5"]])
    assert printed(table, 18) == ["", "a-run-with-a-name", "  valid  1.5", "  test   2.5", ""]


def test_cells_that_may_wrap_do_so_before_the_table_is_split():
    error = "RuntimeError: a long message of many words that need not stand in one line"
    table = WideTable(
        header=["row", "ms", "error"], rows=[["a", "1.5", error]], left=("row",), wraps=("error",)
    )
    lines = printed(table, 40)
    assert sum(line.startswith("a ") for line in lines) == 1
    assert " ".join(tokens(lines)).count("RuntimeError: a long") == 1


@pytest.mark.parametrize("width", [8, 20, 40])
def test_cells_in_bold(width):
    table = WideTable(header=["run", "valid"], rows=[["a", "1.5"], ["b", "2.5"]], bold={(1, 1)})
    shown = io.StringIO()
    Console(width=width, file=shown, force_terminal=True, legacy_windows=False).print(table)
    last = shown.getvalue().split("b", 1)[1]
    assert re.search(r"\x1b\[1m[^\x1b]*2\.5\x1b", last)
    assert not re.search(r"\x1b\[1m[^\x1b]*1\.5\x1b", shown.getvalue())


@pytest.mark.parametrize("width", [4, 40])
def test_a_table_without_rows_and_with_a_column_without_a_name(width):
    lines = printed(WideTable(header=["", "a", "b"], rows=[], title="none"), width)
    assert lines[0] == "none"
