"""metrics.csv, and the same numbers for TensorBoard where it is installed."""

import csv
import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..files import append_text, told, write_text
from .module import TrainingModule


def columns(module: TrainingModule) -> tuple[str, ...]:
    """The columns of a module's table."""
    measures = ("loss", *module.measures)
    return (
        "step",
        "epoch",
        module.unit,
        "seconds",
        "learning_rate",
        "train_loss",
        *module.training_scores(0.0),
        *(f"valid_{name}" for name in measures),
        f"{module.unit}_per_s",
    )


class Metrics:
    """A table that grows by a row, and can be cut back to an earlier step.

    Args:
        path: of the table; TensorBoard's events go beside it.
        columns: their names.
        step: rows of later steps are removed: they were written by a run that was cut off.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, step: int) -> None:
        self.path = path
        self.columns = columns
        kept = [",".join(columns)]
        if step and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()[1:]
            kept += [line for line in lines if self._step(line) <= step]
        write_text(path, "\n".join(kept) + "\n")
        self.events: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            with told(path.parent):
                self.events = SummaryWriter(str(path.parent), purge_step=step + 1)

    def add(self, row: dict[str, float]) -> None:
        """Write one row to the disk; columns that it lacks stay empty."""
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(row)
        append_text(self.path, line.getvalue())
        if self.events is not None:
            with told(self.path.parent):
                for name, value in row.items():
                    self.events.add_scalar(name, value, int(row["step"]))
                self.events.flush()

    def close(self) -> None:
        """Finish TensorBoard's events."""
        if self.events is not None:
            self.events.close()

    def _step(self, line: str) -> float:
        """The step of a line; without end if the line was cut short."""
        fields = line.split(",")
        whole = len(fields) == len(self.columns) and fields[0].isdigit()
        return int(fields[0]) if whole else math.inf
