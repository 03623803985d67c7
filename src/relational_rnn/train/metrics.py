"""metrics.csv, and the same numbers for one of Lightning's loggers."""

import csv
import hashlib
import importlib
import inspect
import io
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from ..config import TaskConfig
from ..errors import UserError
from ..files import FULL, append_text, reporting_errors, write_text
from ..printable import printable, shortened
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
TIMES = re.compile("(cpu_)?seconds|.*_per_s")
"""Columns that differ each time a run is repeated."""


def columns(module: TrainingModule) -> tuple[str, ...]:
    """The columns of a module's metrics.csv."""
    measures = ("loss", *module.measures)
    return (
        "step",
        "epoch",
        module.unit,
        "seconds",
        "cpu_seconds",
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
        columns: names of its columns; a table that exists keeps those that it has.
        step: rows of later steps are removed; an interrupted run has written them after its last
            checkpoint.
        logger: receives every row as well.
        digest: of the rows up to ``step``; empty for a run of an earlier version, whose rows are
            not compared.

    Attributes:
        digest: SHA-256 of all rows, without the times.

    Raises:
        UserError: the table is damaged or has other rows; it stays as it is. Only its last row may
            be truncated, and the whole table may be missing.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        step: int,
        logger: "RunLogger | None" = None,
        digest: str = "",
    ) -> None:
        self.path = path
        self.columns = columns
        self.logger = logger
        self.digest = ""
        kept: list[str] = []
        if step and path.is_file():
            kept = self._rows(step)
            for line in kept:
                self._extend_digest(line)
            if digest not in ("", self.digest):
                raise self._broken("its rows have changed since the last checkpoint was saved")
        write_text(path, "\n".join([",".join(self.columns), *kept]) + "\n")

    def add(self, row: dict[str, float]) -> None:
        """Write one row to disk; missing columns stay empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", extrasaction="ignore")
        writer.writerow(row)
        line = text.getvalue()
        append_text(self.path, line)
        self._extend_digest(line)
        if self.logger is not None:
            self.logger.add(row)

    def _extend_digest(self, line: str) -> None:
        """Add a row: the digest is the one of the digest so far and the row."""
        pairs = zip(self.columns, line.rstrip("\r\n").split(","), strict=True)
        kept = ",".join(field for name, field in pairs if not TIMES.fullmatch(name))
        self.digest = hashlib.sha256(f"{self.digest}\n{kept}".encode()).hexdigest()

    def _rows(self, step: int) -> list[str]:
        """The rows up to a step, without one that was truncated when the run was killed.

        Columns that an earlier version did not write stay away, so that the table of a run that is
        killed again still has the digest of its checkpoint.
        """
        try:
            header, *lines = self.path.read_bytes().decode("utf-8").split("\n")[:-1] or [""]
        except UnicodeDecodeError as error:
            raise self._broken(f"not UTF-8 at byte {error.start}") from error
        names = header.removesuffix("\r").split(",")
        if set(names) <= set(self.columns):
            self.columns = names
        kept = []
        for number, line in enumerate(lines, 2):
            fields = line.removesuffix("\r").split(",")
            if len(fields) != len(self.columns):
                raise self._broken(f"line {number} has {len(fields)} of {len(self.columns)} fields")
            if not STEP.fullmatch(fields[0]):
                raise self._broken(f"line {number} begins with {fields[0][:20]!r}, not a step")
            if int(fields[0]) <= step:
                kept.append(",".join(fields))
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
    if not module.strip("."):
        raise UserError(
            f"--logger: must be one of {', '.join(LOGGERS)}, none, or the import path of a "
            f"Lightning logger class, got {name!r}"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise UserError(f"--logger {name}: cannot be imported: {_described(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Logger)):
        raise UserError(f"--logger {name}: must be a class derived from Lightning's Logger")
    return found


class RunLogger:
    """A logger whose errors do not stop training: after the first it is dropped with a warning.

    Only a full disk is an error of the run too.

    Args:
        name: the logger as the user named it.
        logger: receives the rows.
        folder: of the run.
    """

    def __init__(self, name: str, logger: Logger, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._logger: Logger | None = logger

    def add(self, row: dict[str, float]) -> None:
        """Log one row.

        Raises:
            UserError: the disk is full.
        """
        with self._dropping("cannot log"):
            if self._logger is not None:
                self._logger.log_metrics(row, int(row["step"]))
                if isinstance(self._logger, TensorBoardLogger):
                    self._logger.experiment.flush()
                else:
                    self._logger.save()

    def close(self, status: str) -> None:
        """Finish the logger.

        Args:
            status: "finished", "failed" or "aborted".

        Raises:
            UserError: the disk is full.
        """
        with self._dropping("cannot be finished"):
            if self._logger is not None:
                self._logger.finalize(status)
        self._logger = None

    @contextmanager
    def _dropping(self, what: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            self._logger = None
            _report_full_disk(error, self.folder)
            warning = f"--logger {self.name}: {what}: {_described(error)}; its log is incomplete"
            print(f"warning: {shortened(printable(warning))}", file=sys.stderr, flush=True)


def open_logger(
    found: type[Logger], name: str, run: Run, config: TaskConfig, *, step: int
) -> RunLogger:
    """Open the logger of a run.

    TensorBoard's events go to the run's folder, CSV files to its folder ``csv``. A class of another
    package gets the run's folder as ``save_dir`` if its constructor has this parameter. If the
    logger cannot be created, what it has written to the folder is removed.

    Args:
        found: from :func:`logger_class`.
        name: the logger as the user named it.
        run: the run to log.
        config: its configuration, the logger's hyperparameters.
        step: the step from which the run continues; TensorBoard discards events of later steps.

    Raises:
        UserError: the logger cannot be created.
    """
    before = set(run.folder.glob("*"))
    try:
        return RunLogger(name, _create(found, run, config, step), run.folder)
    except BaseException as error:
        for path in set(run.folder.glob("*")) - before:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not isinstance(error, Exception | SystemExit):
            raise
        _report_full_disk(error, run.folder)
        raise UserError(f"--logger {name}: cannot be created: {_described(error)}") from error


def _create(found: type[Logger], run: Run, config: TaskConfig, step: int) -> Logger:
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
    logger = found(**arguments)
    if isinstance(logger, TensorBoardLogger):
        _ = logger.experiment  # opens the file of events
    else:
        logger.log_hyperparams(asdict(config))
    return logger


def _described(error: BaseException) -> str:
    """Type and message of an error, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _report_full_disk(error: BaseException | None, folder: Path) -> None:
    """Raise a :class:`UserError` if an error, or one that led to it, is of a full disk.

    TensorBoardLogger turns every error, of the file too, into a ValueError.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            with reporting_errors(folder):
                raise error
        error = error.__cause__ or error.__context__


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
