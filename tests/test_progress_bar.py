"""The progress bar leaves out columns that do not fit, and cuts no text."""

from io import StringIO

import pytest
from rich.console import Console
from rich.progress import BarColumn, TextColumn

from relational_rnn.progress_bar import FittingProgress


@pytest.mark.parametrize(
    ("width", "shown"),
    [(80, "training 1,234,567 left"), (30, "training 1,234,567 left"), (20, "training 1,234,567")],
)
def test_what_does_not_fit_is_left_out(width, shown):
    console = Console(file=StringIO(), force_terminal=True, width=width)
    line, left = BarColumn(), TextColumn("left")
    columns = [TextColumn("training"), line, TextColumn("1,234,567"), left]
    bar = FittingProgress(columns, optional=[line, left], console=console)
    bar.add_task("", total=10)
    with console.capture() as captured:
        console.print(bar.get_renderable())
    words = captured.get().split()
    assert [word for word in words if word.isascii() and "\x1b" not in word] == shown.split()
    assert "…" not in captured.get()
    assert (line in bar.columns) == (width == 80)
