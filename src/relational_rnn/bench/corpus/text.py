"""A made-up text of any size: words by Zipf's law, in lines, every word of the vocabulary."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError

SEED = 1
PIECE = 2**20  # words made at once
LINE = 57  # words of a line on average, its end among them, as in WikiText-103
BYTES_OF_A_WORD = 14.5  # on the disk: 6 as text, 4 as an id, and room to spare
HELD_OUT = 500  # valid and test have this fraction of the training text, as in WikiText-103


def check_room(folder: Path, tokens: int) -> None:
    """Make sure that text and ids fit on the disk.

    Raises:
        UserError: they do not.
    """
    needed, free = tokens * BYTES_OF_A_WORD, shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {free / 1e9:.2f} GB are free, a text of {tokens:,} words and its ids take "
            f"{needed / 1e9:.2f} GB; make room, or name another temporary folder in TMPDIR"
        )


def write(folder: Path, *, tokens: int, vocabulary_size: int) -> None:
    """Write ``train.txt``, ``valid.txt`` and ``test.txt``.

    Args:
        folder: where to.
        tokens: words of the training text, ends of lines among them.
        vocabulary_size: distinct words, ``<eos>`` among them; all are in the training text.

    Raises:
        ValueError: fewer than two tokens for each word.
    """
    if tokens < 2 * vocabulary_size:
        raise ValueError(f"tokens must be at least {2 * vocabulary_size:,}, not {tokens:,}")
    words = np.array(["\n", *(f"w{rank} " for rank in range(1, vocabulary_size))], dtype="S")
    held_out = max(2, tokens // HELD_OUT)
    random = np.random.default_rng(SEED)
    for split, count in (("train", tokens), ("valid", held_out), ("test", held_out)):
        with open(folder / f"{split}.txt", "wb") as file:
            for ids in _draw(random, count, vocabulary_size, every=split == "train"):
                file.write(words[ids].tobytes().translate(None, b"\0"))
            file.flush()
            os.fsync(file.fileno())  # or the disk is busy with it while others are timed


def _draw(
    random: np.random.Generator, count: int, vocabulary_size: int, *, every: bool
) -> Iterator[NDArray[np.int64]]:
    """Ids in pieces; 0 ends a line, and the text. With `every`, no word is missing."""
    weights = 1 / (np.arange(1, vocabulary_size) + 2.7)  # as in `bench.work.words`
    up_to = np.cumsum(weights / weights.sum())
    stride = count // vocabulary_size
    for start in range(0, count, PIECE):
        places = np.arange(start, min(start + PIECE, count))
        ids = 1 + np.searchsorted(up_to[:-1], random.random(len(places)), side="right")
        ids[random.random(len(places)) < 1 / LINE] = 0
        if every:
            due = (places % stride == 0) & (places // stride < vocabulary_size)
            ids[due] = places[due] // stride
        if start + PIECE >= count:
            ids[-1] = 0
        yield ids
