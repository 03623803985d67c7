"""SHA-256 digests that tie the files of a finished run to each other.

The digests lie in summary.json under "sha256". A file that was damaged, edited or taken from
another run no longer has its digest, even if it is a valid file by itself.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import as_json

KEY = "sha256"
SUMMARY = "summary.json"
FILES = (
    "config.yaml",
    "metrics.csv",
    "vocabulary.json",
    "tokenizer.json",
    "text.json",
    "model.safetensors",
    "checkpoints/best.ckpt",
)
"""The files with a digest, besides summary.json itself."""


def with_digests(
    summary: dict[str, Any], folder: Path, *, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A summary with the digests of itself and of the files of its run.

    Args:
        summary: the content of summary.json; digests that it has already are replaced.
        folder: of the run; files that it lacks get no digest.
        known: digests of some files by name, which are not read for them.
    """
    known = known or {}
    found = {
        name: known[name] if name in known else _of_file(folder / name)
        for name in FILES
        if (folder / name).is_file()
    }
    return without_digests(summary) | {KEY: {SUMMARY: _of_summary(summary), **found}}


def without_digests(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without digests: of a run that is trained further, whose files will change."""
    return {name: value for name, value in summary.items() if name != KEY}


def changed_files(summary: dict[str, Any], folder: Path) -> list[str]:
    """Names of the files that have changed since the run ended.

    Args:
        summary: the content of summary.json; without digests, of a run of an earlier version or
            one that is trained further, nothing counts as changed.
        folder: of the run; files that it lacks are left out.

    Raises:
        OSError: a file cannot be read.
    """
    digests = summary.get(KEY)
    if digests is None:
        return []
    if not isinstance(digests, dict):
        return [SUMMARY]
    changed = [SUMMARY] if digests.get(SUMMARY) != _of_summary(summary) else []
    for name in FILES:
        if name in digests and (folder / name).is_file():
            changed += [name] if digests[name] != _of_file(folder / name) else []
    return changed


def _of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_summary(summary: dict[str, Any]) -> str:
    return hashlib.sha256(as_json(without_digests(summary)).encode()).hexdigest()
