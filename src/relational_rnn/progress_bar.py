"""A progress bar that leaves out columns in a narrow terminal instead of cutting their text."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.progress import Progress, ProgressColumn, Task
from rich.table import Table


class FittingProgress(Progress):
    """A bar whose optional columns are shown while all columns fit; the others are always shown.

    Args:
        columns: from left to right.
        optional: those that may be left out, the first one first. A column that has been left out
            stays out, so that the bar does not flicker.
        console: the terminal.
        transient: remove the bar at the end.
    """

    def __init__(
        self,
        columns: Sequence[ProgressColumn],
        optional: Sequence[ProgressColumn],
        *,
        console: Console,
        transient: bool = False,
    ) -> None:
        self.optional = list(optional)
        self.terminal = console  # the parent draws before it has stored it
        super().__init__(
            *columns,
            console=console,
            transient=transient,
            redirect_stdout=not transient,  # else stdout would be printed on stderr, above the bar
        )

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The table of the columns that fit, without those that do not."""
        shown = list(tasks)
        wide = Console(width=10_000)
        while True:
            table = super().make_tasks_table(shown)
            needed = Measurement.get(wide, wide.options, table).maximum
            if needed <= self.terminal.width or not self.optional or not shown:
                return table
            left_out = self.optional.pop(0)
            self.columns = tuple(column for column in self.columns if column is not left_out)
