"""From a run to a model that comes with the package: rounded to bfloat16, and measured again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from .. import provenance
from ..config import LanguageModelingConfig, TaskConfig, save
from ..errors import UserError
from ..files import write_bytes
from ..runs import Run
from ..tasks.language_modeling.sources import NAMES
from ..train.training_task import open_task
from ..weights import save_weights

LARGEST = 22_000_000
"""Bytes that the weights of a shipped model may take."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def export(run: Run, name: str, *, folder: Path, data: str | None = None) -> Run:
    """Make a shipped model of the best weights of a run.

    The weights are rounded to bfloat16 and written; then the validation and test data are evaluated
    with the written file, in float32 on the CPU, so that the figures of ``summary.json`` are those
    of the model that is shipped. Those of the run, and where the rounded ones were measured, stand
    beside them. All fields of the configuration are kept, but two that belong to the machine of
    the training: of a data folder the name alone, and the backend, which becomes "auto".

    Args:
        run: a run that has ended.
        name: of the new model: small letters, digits, and single hyphens between them.
        folder: folder of the shipped models; ``folder / name`` is written whole or not at all.
        data: name or folder of the run's text, where it is no longer where the run had it.

    Returns:
        The new model.

    Raises:
        UserError: the name is taken or not fit to be one, the run has not ended, its weights take
            more than `LARGEST` bytes, the data are not the run's, or the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a model; it takes small letters, digits and hyphens"
        )
    if (folder / name).exists():
        raise UserError(f"{folder / name}: exists already; remove it first, or choose another name")
    trained = run.summary
    metrics = _read(run.metrics_path)
    config = _anywhere(run.config)
    task = open_task(_with_data(config, data or _data(run.config)))
    with _appearing(folder / name) as staged:
        model = Run(staged)
        save(config, model.config_path)
        write_bytes(model.metrics_path, metrics)
        if isinstance(config, LanguageModelingConfig):
            run.vocabulary.save(model.vocabulary_path)
        _round(run, model.weights_path)
        task.check(model)
        model.save_summary(
            {
                **trained,
                "run": name,
                **task.scores(model, torch.device("cpu")),
                "weights": "bfloat16",
                "before_rounding": {split: trained.get(split) for split in ("valid", "test")},
                "evaluated": {
                    "commit": provenance.commit(),
                    "versions": provenance.versions(),
                    "machine": provenance.machine(torch.device("cpu")),
                },
            }
        )
    return Run(folder / name)


def _anywhere(config: TaskConfig) -> TaskConfig:
    """The configuration without what holds on the machine of the training alone."""
    data = _data(config)
    if data is not None and data not in NAMES:
        data = Path(data).resolve().name
    return replace(_with_data(config, data), backend="auto")


def _data(config: TaskConfig) -> str | None:
    return config.data if isinstance(config, LanguageModelingConfig) else None


def _with_data(config: TaskConfig, data: str | None) -> TaskConfig:
    if data is None:
        return config
    if not isinstance(config, LanguageModelingConfig):
        raise UserError(f"--data: has no effect on {config.task}; it is for language models")
    return replace(config, data=data)


def _round(run: Run, path: Path) -> None:
    """Write the best weights of a run in bfloat16."""
    language = isinstance(run.config, LanguageModelingConfig)
    model = run.load_model() if language else run.load_task_model()
    save_weights(model.bfloat16(), path)
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(
            f"{run.folder}: its weights take {size / 1e6:.1f} MB in bfloat16; a model of the "
            f"package may take {LARGEST / 1e6:.0f} MB"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill under another name; it takes its own when all went well, or is gone."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
            staged = Path(temporary) / folder.name
            staged.mkdir()
            yield staged
            staged.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
