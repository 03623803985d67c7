"""The run folder: the files of a training run, and runs by name."""

import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import TaskConfig, load, save
from .config.fields import nearest
from .errors import UserError
from .files import as_json, reporting_errors, write_text
from .lock import Lock, LocksUnsupportedError
from .processes import is_first_process
from .run_digests import changed_files, with_digests, without_digests

if TYPE_CHECKING:
    from .tasks.language_modeling import Vocabulary

FOLDER_VARIABLE = "RRNN_RUN_FOLDER"
RUNS = Path("runs")
"""Folder of the runs, below the working folder."""
LEFTOVERS = ".*.tmp"
"""Partly written files of a process that was killed while it saved."""
EVENTS = "events.out.tfevents.*"
"""TensorBoard's files, which are opened before anything of a run is saved."""
SHIPPED = Path(str(files("relational_rnn"))) / "pretrained"
"""Folder of the models that come with the package, one folder each; it is only read."""


class Run:
    """The files of one run.

    Attributes:
        folder: their folder.
        name: the folder's name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.config_path = self.folder / "config.yaml"
        self.metrics_path = self.folder / "metrics.csv"
        self.weights_path = self.folder / "model.safetensors"
        self.vocabulary_path = self.folder / "vocabulary.json"
        self.tokenizer_path = self.folder / "tokenizer.json"
        self.text_path = self.folder / "text.json"
        self.summary_path = self.folder / "summary.json"
        self.lock_path = self.folder / ".training"
        self.last_path = self.folder / "checkpoints" / "last.ckpt"
        self.best_path = self.folder / "checkpoints" / "best.ckpt"

    @cached_property
    def config(self) -> TaskConfig:
        """All fields, resolved."""
        return load(self.config_path)

    @cached_property
    def vocabulary(self) -> "Vocabulary":
        """The vocabulary of the model, with the tokenizer of its text."""
        from .tasks.language_modeling import Vocabulary, open_tokenizer

        return Vocabulary.load(self.vocabulary_path, open_tokenizer(self.tokenizer_path))

    def save_vocabulary(self, vocabulary: "Vocabulary") -> None:
        """Write the words, and the tokenizer where it has a file."""
        vocabulary.tokenizer.save(self.tokenizer_path)
        vocabulary.save(self.vocabulary_path)

    @property
    def text_digest(self) -> str | None:
        """SHA-256 of the text that the run is trained on; None if it is of an earlier version."""
        if not self.text_path.is_file():
            return None
        try:
            digest = json.loads(self.text_path.read_text(encoding="utf-8"))["sha256"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(f"{self.text_path}: broken: {error}") from error
        return str(digest)

    def check_text_exists(self) -> None:
        """Raise :class:`UserError` if the text of the configuration is no longer there."""
        from .tasks.language_modeling.sources import NAMES

        data = vars(self.config).get("data", NAMES[0])
        if data not in NAMES and not Path(data).is_dir():
            raise UserError(
                f"{self.title}: the text it was trained on, {data!r}, is not there; give --data "
                "with the folder where it is now"
            )

    @property
    def shipped(self) -> bool:
        """Whether it comes with the package: it is only read, and cannot be resumed."""
        return self.folder.resolve().parent == SHIPPED.resolve()

    @property
    def title(self) -> str:
        """Its name for the user: its folder, or the name of a shipped model."""
        return self.name if self.shipped else str(self.folder)

    @property
    def summary(self) -> dict[str, Any]:
        """The results; raises :class:`UserError` if the run has none yet, or if they are broken."""
        if not self.summary_path.is_file():
            raise UserError(f"{self.folder}: the run has no summary yet; {self.how_to_resume}")
        try:
            summary = json.loads(self.summary_path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.summary_path}: broken: {error}") from error
        if not isinstance(summary, dict):
            raise UserError(f"{self.summary_path}: broken: it must be a JSON object")
        return summary

    @property
    def how_to_resume(self) -> str:
        """How to resume this run, in one clause."""
        if self.shipped:
            return "it came with the package, which is incomplete: install it again"
        name = self.name if self.folder == RUNS / self.name else str(self.folder)
        return f"resume it with: rrnn train --resume {shlex.quote(name)}"

    @property
    def in_training(self) -> bool:
        """Whether a process trains in the folder now."""
        return Lock(self.lock_path).is_taken()

    @contextmanager
    def held(self, *, new: bool) -> Iterator[None]:
        """Keep other processes from training in the folder, where files can be locked.

        Args:
            new: the run is new; another process may have started one since the folder was checked.

        Raises:
            UserError: another process trains in it or has started a run there, or the folder cannot
                be written to.
        """
        lock = Lock(self.lock_path)
        try:
            taken = lock.take()
            if not taken:  # a process may have asked for an instant whether it is taken
                time.sleep(0.1)
                taken = lock.take()
        except LocksUnsupportedError:
            taken = True
        if not taken:
            raise UserError(f"{self.folder}: another process trains in it; wait for it or stop it")
        try:
            if new and self.config_path.exists():
                raise UserError(f"{self.folder}: exists already; choose another --run")
            yield
        finally:
            lock.release()

    def remove_if_empty(self) -> None:
        """Remove the folder if nothing of a run was written to it, and no other process uses it."""
        if not _is_free(self):
            return
        lock = Lock(self.lock_path)
        try:
            taken = lock.take()
        except LocksUnsupportedError:
            taken = True
        except UserError:  # the folder cannot be written to, so it stays
            taken = False
        with suppress(OSError):
            if taken and _is_free(self):
                self.remove_leftovers()
                for path in self.folder.glob(EVENTS):
                    path.unlink()
                self.lock_path.unlink(missing_ok=True)
                if self.last_path.parent.is_dir():
                    self.last_path.parent.rmdir()
                self.folder.rmdir()
        lock.release()

    def remove_leftovers(self) -> None:
        """Remove the partly written files of a process that was killed while it saved."""
        for path in self.folder.rglob(LEFTOVERS):
            path.unlink()

    def save_config(self, config: TaskConfig) -> None:
        """Write the configuration, creating the folder."""
        self.last_path.parent.mkdir(parents=True, exist_ok=True)
        save(config, self.config_path)
        self.__dict__["config"] = config

    def save_text(self, source: str, digest: str) -> None:
        """Write what text the run is trained on.

        Args:
            source: its absolute folder, or the name of a data set.
            digest: SHA-256 of its contents.
        """
        write_text(self.text_path, as_json({"data": source, "sha256": digest}, indent=2) + "\n")

    def save_summary(self, summary: dict[str, Any]) -> None:
        """Write the summary, with the digests of the run's files, which are complete by now."""
        whole = with_digests(summary, self.folder)
        write_text(self.summary_path, as_json(whole, indent=2) + "\n")

    def forget_digests(self) -> None:
        """Remove the digests from the summary: the run is trained further."""
        if self.summary_path.is_file():
            kept = without_digests(self.summary)
            write_text(self.summary_path, as_json(kept, indent=2) + "\n")

    def changed_files(self) -> list[str]:
        """Names of the files that have changed since the run ended; raises as `summary`."""
        if not self.summary_path.is_file():
            return []
        with reporting_errors(self.folder):
            return changed_files(self.summary, self.folder)

    def note_of_changes(self) -> str:
        """What has changed since the run ended, or why that is unknown; empty if nothing has."""
        try:
            changed = ", ".join(self.changed_files())
        except UserError as error:
            return str(error)
        where = f"{self.title}: changed since the run ended, so results may differ"
        return f"{where}: {changed}" if changed else ""


def find_run(name: str | Path) -> Run:
    """A run by its folder, by its name below ``runs/``, or a model shipped with the package.

    A run of the same name as a shipped model wins.

    Raises:
        UserError: nothing of that name.
    """
    for folder in (Path(name), RUNS / name):
        if (folder / "config.yaml").is_file():
            return Run(folder)
    shipped = shipped_models()
    if str(name) in shipped:
        return Run(SHIPPED / name)
    if (folder := run_folder(str(name))).is_dir():
        raise UserError(f"{folder}: not a run folder; it has no config.yaml")
    known = [path.parent.name for path in RUNS.glob("*/config.yaml")]
    choices = "; give a run folder or the name of one below runs/"
    if shipped:
        choices += f", or a model of the package: {', '.join(shipped)}"
    raise UserError(f"{name}: no such run{nearest(str(name), [*known, *shipped]) or choices}")


def resolved_start(name: str) -> str:
    """The run that a `start` means, from every folder: its absolute path, or a shipped name.

    Raises:
        UserError: as :func:`find_run`.
    """
    run = find_run(name)
    by_name = run.shipped and name in shipped_models()
    return name if by_name else str(run.folder.resolve())


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    # A folder whose name starts with a dot is not complete yet.
    return sorted(path.parent.name for path in SHIPPED.glob("[!.]*/config.yaml"))


def new_run(name: str | None, config: TaskConfig) -> Run:
    """An empty folder for a new run; without a name, the next free one.

    The first process chooses it; the processes that it starts read it from the environment.

    Raises:
        UserError: the folder exists and is not empty.
    """
    if not is_first_process():
        name = name or os.environ.get(FOLDER_VARIABLE)
        if name is None:
            raise UserError("--run: must be given when a launcher starts several processes")
        return Run(run_folder(name))
    run = _create(name, config)
    os.environ[FOLDER_VARIABLE] = str(run.folder.resolve())
    return run


def _create(name: str | None, config: TaskConfig) -> Run:
    if name is not None:
        if not name:
            raise UserError("--run: must be a name or a folder, got ''")
        run = Run(run_folder(name))
        if run.folder.exists() and not _is_free(run):
            way = f", or {run.how_to_resume}" if run.config_path.is_file() else ""
            raise UserError(f"{run.folder}: exists already; choose another --run{way}")
        _make_folder(run.folder, exist_ok=True)
        return run
    stem = config.name if config.model in config.name else f"{config.name}-{config.model}"
    if os.sep in stem or "\0" in stem:
        raise UserError(f"name: {config.name!r} cannot name a run folder; give --run")
    number = 1
    while True:
        folder = RUNS / f"{stem}-{number}"
        try:
            _make_folder(folder, exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return Run(folder)


def _is_free(run: Run) -> bool:
    """Whether it is empty, or has only leftovers of a process killed before it saved anything."""
    left = (run.lock_path, run.last_path.parent)
    return run.folder.is_dir() and all(
        path in left or path.match(LEFTOVERS) or path.match(EVENTS)
        for path in run.folder.rglob("*")
    )


def run_folder(name: str) -> Path:
    """The folder of a run: a bare name is below ``runs/``, anything else a path as it is."""
    return Path(name) if os.sep in name or name in (".", "..") else RUNS / name


def _make_folder(folder: Path, *, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be created: {error.strerror}") from error
