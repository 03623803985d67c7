"""metrics.csv, and the same numbers for one of Lightning's loggers."""

import csv
import importlib
import inspect
import io
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from ..errors import UserError
from ..files import append_text, reporting_errors, write_text
from ..runs import Run
from .module import TrainingModule

LOGGERS: dict[str, type[Logger]] = {
    "tensorboard": TensorBoardLogger,
    "csv": CSVLogger,
    "wandb": WandbLogger,
}
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}
"""The optional packages of these loggers."""

STEP = re.compile("[0-9]{1,18}")


def columns(module: TrainingModule) -> tuple[str, ...]:
    """The columns of a module's metrics.csv."""
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
    """A CSV table that grows by a row, and can be cut back to an earlier step.

    Args:
        path: the table.
        columns: names of its columns.
        step: rows of later steps are removed; an interrupted run has written them after its last
            checkpoint.
        logger: receives every row as well.

    Raises:
        UserError: the table is damaged; it stays as it is. Only its last row may be truncated.
    """

    def __init__(
        self, path: Path, columns: Sequence[str], *, step: int, logger: Logger | None = None
    ) -> None:
        self.path = path
        self.columns = columns
        self.logger = logger
        kept = [",".join(columns)]
        if step and path.is_file():
            kept += self._rows(step)
        write_text(path, "\n".join(kept) + "\n")

    def add(self, row: dict[str, float]) -> None:
        """Write one row to disk; missing columns stay empty."""
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(row)
        append_text(self.path, line.getvalue())
        if self.logger is not None:
            with reporting_errors(self.path.parent):
                _log(self.logger, row)

    def close(self) -> None:
        """Finish the logger."""
        if self.logger is not None:
            with reporting_errors(self.path.parent):
                self.logger.finalize("finished")
            self.logger = None

    def _rows(self, step: int) -> list[str]:
        """The rows up to a step, without one that was truncated when the run was killed."""
        try:
            lines = self.path.read_bytes().decode("utf-8").split("\n")[1:-1]
        except UnicodeDecodeError as error:
            raise self._broken(f"not UTF-8 at byte {error.start}") from error
        kept = []
        for number, line in enumerate(lines, 2):
            fields = line.removesuffix("\r").split(",")
            if len(fields) != len(self.columns):
                raise self._broken(f"line {number} has {len(fields)} of {len(self.columns)} fields")
            if not STEP.fullmatch(fields[0]):
                raise self._broken(f"line {number} begins with {fields[0][:20]!r}, not a step")
            if int(fields[0]) <= step:
                kept.append(line)
        return kept

    def _broken(self, reason: str) -> UserError:
        return UserError(
            f"{self.path}: broken: {reason}; repair it, or move it away to resume without its rows"
        )


def logger_class(name: str | None) -> type[Logger] | None:
    """Find one of Lightning's loggers, or another one by its import path.

    Args:
        name: "tensorboard", "csv", "wandb", "none", or the import path of a Lightning ``Logger``
            class; None: tensorboard if it is installed.

    Raises:
        UserError: no such logger, or its package is not installed.
    """
    if name is None:
        name = "tensorboard" if find_spec("tensorboard") else "none"
    if name == "none":
        return None
    if name in LOGGERS:
        if name in PACKAGES and not find_spec(PACKAGES[name]):
            raise UserError(f"--logger {name}: not installed; run: pip install {PACKAGES[name]}")
        return LOGGERS[name]
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UserError(
            f"--logger: must be one of {', '.join(LOGGERS)}, none, or the import path of a "
            f"Lightning logger class, got {name!r}"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--logger {name}: cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Logger)):
        raise UserError(f"--logger {name}: must be a class derived from Lightning's Logger")
    return found


def open_logger(found: type[Logger], run: Run, *, step: int) -> Logger:
    """Open the logger of a run.

    TensorBoard's events go to the run's folder, CSV files to its folder ``csv``. A class of another
    package gets the run's folder as ``save_dir`` if its constructor has this parameter.

    Args:
        found: from :func:`logger_class`.
        run: the run to log.
        step: the step from which the run continues; TensorBoard discards events of later steps.

    Raises:
        UserError: the logger cannot be created.
    """
    arguments: dict[str, Any] = {}
    if "save_dir" in inspect.signature(found).parameters:
        arguments["save_dir"] = str(run.folder)
    if found is TensorBoardLogger:
        arguments |= {"name": "", "version": "", "purge_step": step + 1}
    elif found is CSVLogger:
        arguments |= {"name": "csv"}
    elif found is WandbLogger:
        arguments |= {"name": run.name}
    _quieten_event_threads()
    try:
        with reporting_errors(run.folder):
            logger = found(**arguments)
            if isinstance(logger, TensorBoardLogger):
                _ = logger.experiment  # opens the file of events
            else:
                logger.log_hyperparams(asdict(run.config))
            return logger
    except (ImportError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--logger {found.__name__}: cannot be created: {reason}") from error


class _SkipEventThreads:
    """A ``threading.excepthook`` that ignores errors of TensorBoard's writing threads.

    They are raised again in the thread that logs, which reports them.
    """

    def __init__(self, others: Callable[[threading.ExceptHookArgs], object]) -> None:
        self.others = others

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard."):
            self.others(arguments)


def _quieten_event_threads() -> None:
    if not isinstance(threading.excepthook, _SkipEventThreads):
        threading.excepthook = _SkipEventThreads(threading.excepthook)


def _log(logger: Logger, row: dict[str, float]) -> None:
    try:
        logger.log_metrics(row, int(row["step"]))
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.flush()
        else:
            logger.save()
    except ValueError as error:
        # TensorBoardLogger turns every error, of the file too, into a ValueError.
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise
