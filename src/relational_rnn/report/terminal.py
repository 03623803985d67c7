"""Tables for the terminal that never cut a cell: a table that is too wide is broken up.

A table that fits is printed whole. A wider one is split into two to four tables below each other,
each with the key columns, which name the rows. Where that is not enough, each row becomes a list
with a line per column.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..printable import printable

MOST_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class WideTable:
    """A table of text for ``rich.console.Console.print``.

    Args:
        header: names of the columns; they wrap at spaces.
        rows: the cells, plain text (no markup), as many in each row as there are columns;
            control characters are shown escaped.
        keys: number of leading columns that name a row, repeated in every part.
        left: names of the columns that are aligned left.
        wraps: names of the columns whose cells may wrap at spaces, such as error messages.
        bold: row and column numbers of the cells that stand out.
        title: line above the table.
        caption: lines below the table.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1
    left: Collection[str] = ()
    wraps: Collection[str] = ()
    bold: Collection[tuple[int, int]] = ()
    title: str | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        rows = [[printable(cell) for cell in row] for row in self.rows]
        object.__setattr__(self, "rows", rows)  # frozen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title is not None:
            yield Text(self.title, style="table.title", overflow="fold")

        def fits(table: Table) -> bool:
            return least_width(table) <= options.max_width

        def split(columns: Sequence[int]) -> list[Table]:
            table = self._table(columns)
            if len(columns) <= 1 or fits(table):
                return [table]
            middle = (len(columns) + 1) // 2
            return [*split(columns[:middle]), *split(columns[middle:])]

        tables = split(range(self.keys, len(self.header)))
        if len(tables) <= MOST_PARTS and all(map(fits, tables)):
            for table in tables:
                yield Text()
                yield table
        else:
            yield from self._lists(options.max_width)
        yield Text()
        if self.caption is not None:
            yield Text(self.caption, style="table.caption", overflow="fold")

    def _table(self, columns: Sequence[int]) -> Table:
        """The key columns and the columns of these numbers."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        shown = [*range(self.keys), *columns]
        for column in shown:
            name = self.header[column]
            cells = (row[column] for row in self.rows)
            width = max(map(cell_len, (*name.split(), *cells)), default=0)
            table.add_column(
                Text(name),
                justify="left" if name in self.left else "right",
                width=None if name in self.wraps else width,
            )
        for y, row in enumerate(self.rows):
            table.add_row(*(Text(row[x], style=self._style(y, x)) for x in shown))
        return table

    def _lists(self, width: int) -> Iterator[Text]:
        """For each row its keys, then a line for each other column."""
        names = self.header[self.keys :]
        widest = max(map(cell_len, names), default=0)
        cells = [cell for row in self.rows for cell in row[self.keys :]]
        aligned = 2 + widest + 2 + max(map(cell_len, cells), default=0) <= width
        for y, row in enumerate(self.rows):
            keys = [
                row[x] if self.keys == 1 else f"{self.header[x]} {row[x]}" for x in range(self.keys)
            ]
            yield Text()
            yield Text("  ".join(keys), style=self._style(y, 0), overflow="fold")
            for x, name in enumerate(names, self.keys):
                label = f"{set_cell_size(name, widest)}  " if aligned else f"{name}: "
                yield Text(f"  {label}{row[x]}", style=self._style(y, x), overflow="fold")

    def _style(self, row: int, column: int) -> str:
        return "bold" if (row, column) in self.bold else ""


def least_width(table: Table) -> int:
    """The width in characters that a table needs so that no word is cut."""
    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, table).minimum
