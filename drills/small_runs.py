"""Small trainings to be drilled, and the comparison of what two of them have left."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

Words = tuple[object, ...]

CORE: Words = ("--head-size", 4, "--num-heads", 2, "--mem-slots", 2, "--batch-size", 4)
OFTEN: Words = ("--validate-every", 6, "--checkpoint-every", 2, "--log-every", 3)
STEPS = 16
RUN = Path("runs/run")
"""Where all of these are trained, below the working folder."""


def small(text: Path, *, seed: int = 1) -> Words:
    """Fields of a small language model that trains for a few steps."""
    sizes = ("--embedding-size", 8, "--bptt", 10, "--learning-rate", 0.01, "--seed", seed)
    return ("--data", text, *sizes, *CORE, "--validate-every", 4, "--max-steps", STEPS // 2)


def plain(text: Path, *, seed: int = 1) -> Words:
    """The shortest training of a language model."""
    return ("train", "language-modeling", "--run", RUN.name, *small(text, seed=seed))


def language_model(text: Path) -> Words:
    """Training in which everything changes from step to step: average, rate, dropout, windows."""
    return (
        *(*plain(text), *OFTEN, "--max-steps", STEPS, "--averaging", "ema", "--variational"),
        *("--embedding-dropout", 0.2, "--output-dropout", 0.2, "--word-dropout", 0.1),
        *("--random-bptt", "--random-offset", "--reset-probability", 0.2),
        *("--schedule", "plateau", "--warmup-steps", 3),
    )


def reasoning(text: Path) -> Words:
    """A task whose examples are generated, with a curriculum; it needs no text."""
    return (
        *("train", "programs", "--length", 2, "--nesting", 1, "--curriculum", "combined"),
        *(*CORE, *OFTEN, "--max-steps", STEPS, "--run", RUN.name),
        *("--valid-examples", 8, "--test-examples", 8),
    )


TIMES = ("seconds", "cpu_seconds", "tokens_per_s", "examples_per_s")
PROVENANCE = ("machine", "versions", "commit", "config", "run", "sha256")


def make_text(folder: Path, *, seed: int = 1) -> None:
    """Write a text of few words, in which the next word can be guessed.

    Args:
        folder: for train.txt, valid.txt and test.txt; it is created.
        seed: another one gives another text of the same words.
    """
    draw = random.Random(seed)
    folder.mkdir()
    words = [f"w{number}" for number in range(30)]
    for split, lines in (("train", 120), ("valid", 20), ("test", 20)):
        with open(folder / f"{split}.txt", "w", encoding="utf-8") as file:
            file.write(" ".join(words) + "\n")
            for _ in range(lines):
                start = draw.randrange(30)
                line = [words[(start + step * step) % 30] for step in range(7)]
                file.write(" ".join([*line, "<unk>"]) + "\n")


def difference(run: Path, reference: Path) -> str:
    """The first file of two finished runs that differs; an empty string if none does.

    Compared are all bits of the checkpoints and the best weights, every row of metrics.csv, the
    vocabulary and the scores; not compared are times, and names of folders.
    """
    for name, read in _READERS.items():
        paths = (run / name, reference / name)
        if paths[0].exists() != paths[1].exists():
            return f"{name} is missing" if paths[1].exists() else f"{name} should not exist"
        if paths[0].exists() and read(paths[0]) != read(paths[1]):
            return f"{name} differs"
    left = [path.name for path in run.rglob(".*.tmp")]
    return f"temporary files are left: {', '.join(left)}" if left else ""


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv without the times."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [{key: row[key] for key in row if key not in TIMES} for row in rows]


def scores_of(path: Path) -> dict[str, Any]:
    """A summary.json without times and machine."""
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: summary[key] for key in summary if key not in TIMES + PROVENANCE}


def tensors_of(path: Path) -> Any:
    """The content of a checkpoint in plain types, every tensor as its bytes, without the time."""
    return _plain(torch.load(path, map_location="cpu", weights_only=True))


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in TIMES}
    return (
        [_plain(each) for each in value]
        if isinstance(value, Sequence | set) and not isinstance(value, str)
        else repr(value)
    )


_READERS = {
    "metrics.csv": rows_of,
    "checkpoints/last.ckpt": tensors_of,
    "checkpoints/best.ckpt": tensors_of,
    "model.safetensors": Path.read_bytes,
    "vocabulary.json": Path.read_bytes,
    "summary.json": scores_of,
}
