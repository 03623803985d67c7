"""The run folder: what a training run leaves behind, and how a run is found by name."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import GeneratedConfig, LanguageModelingConfig, TaskConfig, WritingConfig, load, save
from .config.fields import nearest
from .errors import UserError
from .files import as_json, write_text
from .lock import Lock
from .processes import is_first_process
from .weights import load_checkpoint, load_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .models import TaskModel
    from .models.language_model import LanguageModel
    from .tasks.language_modeling import Vocabulary

FOLDER_VARIABLE = "RRNN_RUN_FOLDER"
RUNS = Path("runs")
"""Where runs are kept, below the working folder."""
LEFTOVERS = ".*.tmp"
"""What a process leaves half written that is killed while it saves."""
SHIPPED = Path(str(files("relational_rnn"))) / "pretrained"
"""Where the models are that come with the package, a folder each; it is only read."""


class Run:
    """The files of one run.

    Attributes:
        folder: where they are.
        name: the folder's name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.config_path = self.folder / "config.yaml"
        self.metrics_path = self.folder / "metrics.csv"
        self.weights_path = self.folder / "model.safetensors"
        self.vocabulary_path = self.folder / "vocabulary.json"
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
        """The words that the model knows."""
        from .tasks.language_modeling import Vocabulary

        return Vocabulary.load(self.vocabulary_path)

    @property
    def shipped(self) -> bool:
        """Whether it comes with the package: it is only read, and cannot go on."""
        return self.folder.resolve().parent == SHIPPED.resolve()

    @property
    def title(self) -> str:
        """What the user knows it by: its folder, or the name of a shipped model."""
        return self.name if self.shipped else str(self.folder)

    @property
    def summary(self) -> dict[str, Any]:
        """What the run came to; raises :class:`UserError` before its end, or if it is broken."""
        if not self.summary_path.is_file():
            raise UserError(f"{self.folder}: the run has no summary yet; {self.how_to_resume}")
        try:
            summary: dict[str, Any] = json.loads(self.summary_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self.summary_path}: broken: {error}") from error
        return summary

    @property
    def how_to_resume(self) -> str:
        """One clause that says how to go on with this run."""
        if self.shipped:
            return "it came with the package, which is not whole: install it again"
        own = self.folder == RUNS / self.name
        return f"go on with: rrnn train --resume {self.name if own else self.folder}"

    @contextmanager
    def held(self, *, new: bool) -> Iterator[None]:
        """Keep other processes from training in the folder meanwhile, where files can be locked.

        Args:
            new: the run is to begin; somebody may have begun one since the folder was looked at.

        Raises:
            UserError: another process trains in it, or has begun a run there.
        """
        lock = Lock(self.lock_path)
        try:
            taken = lock.take()
        except UserError:  # a file system without locks
            taken = True
        if not taken:
            raise UserError(f"{self.folder}: another process trains in it; let it end, or stop it")
        try:
            if new and self.config_path.exists():
                raise UserError(f"{self.folder}: exists already; choose another --run")
            yield
        finally:
            lock.release()

    def remove_if_empty(self) -> None:
        """Remove the folder if nothing was written to it."""
        with suppress(OSError):
            self.folder.rmdir()

    def remove_leftovers(self) -> None:
        """Remove what a process left half written that was killed while it saved."""
        for path in self.folder.rglob(LEFTOVERS):
            path.unlink()

    def save_config(self, config: TaskConfig) -> None:
        """Write the configuration, creating the folder."""
        self.last_path.parent.mkdir(parents=True, exist_ok=True)
        save(config, self.config_path)
        self.__dict__["config"] = config

    def save_summary(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        write_text(self.summary_path, as_json(summary, indent=2) + "\n")

    def load_model(self, device: "torch.device | str" = "cpu") -> "LanguageModel":
        """The trained language model on ``device``, set to evaluate.

        Raises:
            UserError: the run is of another task, has no weights yet, or they do not fit.
        """
        from .models.language_model import LanguageModel

        config = self.config
        if not isinstance(config, LanguageModelingConfig):
            raise UserError(f"{self.folder}: its task is {config.task}, not language-modeling")
        model = LanguageModel(config, len(self.vocabulary))
        self._load_weights(model)
        return model.to(device).eval()

    def load_task_model(self, device: "torch.device | str" = "cpu") -> "TaskModel":
        """The trained model of a generated task; otherwise as :meth:`load_model`."""
        if not isinstance(self.config, GeneratedConfig):
            raise UserError(f"{self.folder}: its task is {self.config.task}, not a generated one")
        model = new_task_model(self.config)
        self._load_weights(model)
        return model.to(device).eval()

    def _load_weights(self, model: "nn.Module") -> None:
        """The best weights, or the last ones of a run cut off before its first validation."""
        if self.weights_path.is_file():
            load_weights(model, self.weights_path)
        elif self.last_path.is_file():
            load_checkpoint(model, self.last_path)
        else:
            raise UserError(f"{self.weights_path}: no trained model yet; {self.how_to_resume}")


def new_task_model(config: GeneratedConfig) -> "TaskModel":
    """An untrained model for a generated task."""
    from .models import EncoderDecoder, SequenceClassifier
    from .tasks.generated import build_task
    from .tasks.nth_farthest import NthFarthest

    task = build_task(config, training=False)
    if isinstance(task, NthFarthest):
        return SequenceClassifier(config, input_size=task.input_size, classes=task.objects)
    assert isinstance(config, WritingConfig)
    return EncoderDecoder(config, characters=len(task.vocabulary))


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
    takes = "; it takes a run folder or the name of one below runs/"
    if shipped:
        takes += f", or a model of the package: {', '.join(shipped)}"
    raise UserError(f"{name}: no such run{nearest(str(name), [*known, *shipped]) or takes}")


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    # A name that begins with a dot is one that is being made.
    return sorted(path.parent.name for path in SHIPPED.glob("[!.]*/config.yaml"))


def new_run(name: str | None, config: TaskConfig) -> Run:
    """An empty folder for a new run; without a name, one that is still free.

    The first process chooses it; the others, started by it, are told through the environment.

    Raises:
        UserError: the folder exists and is not empty.
    """
    if not is_first_process():
        name = name or os.environ.get(FOLDER_VARIABLE)
        if name is None:
            raise UserError("--run is needed where several processes are started from outside")
        return Run(run_folder(name))
    run = _claim(name, config)
    os.environ[FOLDER_VARIABLE] = str(run.folder.resolve())
    return run


def _claim(name: str | None, config: TaskConfig) -> Run:
    if name is not None:
        if not name:
            raise UserError("--run: is empty; it takes a name or a folder")
        run = Run(run_folder(name))
        if run.folder.exists() and not _is_free(run):
            way = f", or {run.how_to_resume}" if run.config_path.is_file() else ""
            raise UserError(f"{run.folder}: exists already; choose another --run{way}")
        _make(run.folder, exist_ok=True)
        return run
    stem = config.name if config.model in config.name else f"{config.name}-{config.model}"
    number = 1
    while True:
        folder = RUNS / f"{stem}-{number}"
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return Run(folder)


def _is_free(run: Run) -> bool:
    """Whether it holds nothing, or what is left of a process killed before it saved anything."""
    left = (run.lock_path, run.last_path.parent)
    return run.folder.is_dir() and all(
        path in left or path.match(LEFTOVERS) for path in run.folder.rglob("*")
    )


def run_folder(name: str) -> Path:
    """The folder of a run: a bare name is below ``runs/``, anything else a path as it is."""
    return Path(name) if os.sep in name or name in (".", "..") else RUNS / name


def _make(folder: Path, *, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
