"""From a run to a model that comes with the package: rounded to bfloat16 and evaluated again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from .. import provenance
from ..config import TaskConfig, save
from ..errors import UserError
from ..files import write_bytes
from ..registry import load_model
from ..runs import Run
from ..tasks.language_modeling.sources import NAMES
from ..train.training_task import open_task
from ..weights import save_weights

LARGEST = 22_000_000
"""Largest size of the weights of a shipped model, in bytes."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def export(run: Run, name: str, *, folder: Path, data: str | None = None) -> Run:
    """Make a shipped model of the best weights of a run.

    The weights are rounded to bfloat16 and written. Then the written file is evaluated on the
    validation and test data, in float32 on the CPU, so that ``summary.json`` has the figures of the
    shipped model. It also has the figures before rounding, and the machine of the evaluation. All
    fields of the configuration are kept except two that depend on the machine of the training: a
    data folder is reduced to its name, and the backend becomes "auto".

    Args:
        run: a finished run.
        name: of the new model: lower-case letters, digits, and single hyphens between them.
        folder: folder of the shipped models; ``folder / name`` is written atomically.
        data: name or folder of the run's text, if it has moved since the training.

    Returns:
        The new model.

    Raises:
        UserError: the name is taken or invalid, the run is not finished, its weights are larger
            than `LARGEST` bytes, the data are not the run's, or the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r}: not a name for a model; use lower-case letters, digits and single hyphens"
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
        if run.vocabulary_path.is_file():
            model.save_vocabulary(run.vocabulary)
        _round(run, model.weights_path)
        task.check(run)
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
    """The configuration without what depends on the machine of the training."""
    data = _data(config)
    if data is not None and data not in NAMES:
        data = Path(data).resolve().name
    return replace(_with_data(config, data), backend="auto")


def _data(config: TaskConfig) -> str | None:
    return vars(config).get("data")


def _with_data(config: TaskConfig, data: str | None) -> TaskConfig:
    if data is None:
        return config
    if not hasattr(config, "data"):
        raise UserError(f"--data: has no effect on {config.task}, whose examples are generated")
    moved: dict[str, Any] = {"data": data}
    return replace(config, **moved)


def _round(run: Run, path: Path) -> None:
    """Write the best weights of a run in bfloat16."""
    save_weights(load_model(run).bfloat16(), path)
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(
            f"{run.folder}: its weights are {size / 1e6:.1f} MB in bfloat16; a model of the "
            f"package must be at most {LARGEST / 1e6:.0f} MB"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill under a temporary name; it is renamed at the end, or removed on an error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
            staged = Path(temporary) / folder.name
            staged.mkdir()
            yield staged
            staged.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
