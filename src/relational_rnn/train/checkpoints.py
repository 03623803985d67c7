"""Checkpoints: plain tensors and types, whole or not there, and refused when they do not fit."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from ..config import TASKS, GeneratedConfig, LanguageModelingConfig
from ..config.fields import deciding
from ..errors import UserError
from ..files import replacing
from ..tasks.language_modeling import Corpus


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints whole or not at all, and reads nothing but tensors and plain types.

    Attributes:
        error: why the last save failed, if it did. It is not raised at once: only one process
            writes, the others wait for it, and all of them have to stop.
    """

    def __init__(self) -> None:
        self.error: UserError | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write one checkpoint."""
        try:
            with replacing(Path(path)) as file:
                torch.save(checkpoint, file)
        except UserError as error:
            self.error = error

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one checkpoint."""
        return read(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove one checkpoint."""
        Path(path).unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        UserError: the file is cut short or not a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "origin" not in content:
            raise ValueError("it has no origin")
    except Exception as error:
        raise UserError(
            f"{path}: cut short, or not a checkpoint of ours; resume from another, such as "
            f"{path.with_name('best.ckpt')} copied to this name"
        ) from error
    return content


def origin(config: LanguageModelingConfig, corpus: Corpus) -> dict[str, Any]:
    """What a checkpoint says about where it belongs: its text, and the shape of its model."""
    fields = {name: getattr(config, name) for name in deciding(type(config), "model")}
    text = {"vocabulary": corpus.vocabulary.digest, "training tokens": corpus.counts["train"]}
    return text | fields


def generated_origin(config: GeneratedConfig) -> dict[str, Any]:
    """As :func:`origin`, for a generated task: what it asks, and the shape of its model."""
    return {name: getattr(config, name) for name in deciding(type(config), "model", "task")}


def check(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a checkpoint of another origin.

    Raises:
        UserError: it is of another vocabulary, another text or another model.
    """
    if found.get("vocabulary") != wanted.get("vocabulary"):
        raise UserError(f"{path}: of another vocabulary than this run's vocabulary.json")
    for name, value in wanted.items():
        if found.get(name) != value:
            kind = "text" if name == "training tokens" else "model"
            asked = any(name in deciding(config_class, "task") for config_class in TASKS.values())
            kind = "task" if asked else kind
            raise UserError(
                f"{path}: of another {kind}: its {name} is {found.get(name)}, this run's is {value}"
            )
