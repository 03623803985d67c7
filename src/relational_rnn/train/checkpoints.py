"""Checkpoints: plain tensors and types, written atomically, checked against the run when read."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from ..config import TASKS, GeneratedConfig, LanguageModelingConfig
from ..config.fields import deciding
from ..errors import UserError
from ..files import replacing
from ..tasks.language_modeling import Corpus
from ..weights import read_checkpoint


class AtomicCheckpointIO(CheckpointIO):
    """Atomic checkpoint writes; reads only tensors and plain types.

    Attributes:
        error: the error of the last save, None if it succeeded. The save itself does not raise it:
            one process writes while the others wait, and all of them must stop.
    """

    def __init__(self) -> None:
        self.error: UserError | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint atomically; keep an error in :attr:`error`."""
        try:
            with replacing(Path(path)) as file:
                torch.save(checkpoint, file)
        except UserError as error:
            self.error = error

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, see :func:`read`."""
        return read(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a run to the CPU.

    Raises:
        UserError: as :func:`..weights.read_checkpoint`; or the file is not of a run.
    """
    content = read_checkpoint(path)
    if missing := {"origin", "global_step", "callbacks"} - content.keys():
        raise UserError(f"{path}: not a checkpoint of this package: it has no {min(missing)}")
    return content


def origin(config: LanguageModelingConfig, corpus: Corpus) -> dict[str, Any]:
    """What identifies a language model's run in its checkpoints: the text and the model's shape."""
    fields = {name: getattr(config, name) for name in deciding(type(config), "model")}
    text = {
        "vocabulary": corpus.vocabulary.digest,
        "training tokens": corpus.counts["train"],
        "text": corpus.digest,
    }
    return text | fields


def generated_origin(config: GeneratedConfig) -> dict[str, Any]:
    """What identifies a generated task's run: the kind of examples and the model's shape."""
    return {name: getattr(config, name) for name in deciding(type(config), "model", "task")}


def check(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Check that a checkpoint belongs to this run.

    Args:
        path: the checkpoint, for the message.
        found: its origin.
        wanted: the origin of this run.

    Raises:
        UserError: the checkpoint has another vocabulary, text, task or model.
    """
    if found.get("vocabulary") != wanted.get("vocabulary"):
        raise UserError(f"{path}: has another vocabulary than this run's vocabulary.json")
    if found.get("text", wanted.get("text")) != wanted.get("text"):  # earlier versions have none
        raise UserError(
            f"{path}: was trained on another text than this, although the vocabulary is the same; "
            "pass the text that the run was trained on as --data"
        )
    for name, value in wanted.items():
        if name != "text" and found.get(name) != value:
            kind = "text" if name == "training tokens" else "model"
            asked = any(name in deciding(config_class, "task") for config_class in TASKS.values())
            kind = "task" if asked else kind
            raise UserError(
                f"{path}: belongs to another {kind}: its {name} is {found.get(name)}, "
                f"this run's is {value}"
            )
