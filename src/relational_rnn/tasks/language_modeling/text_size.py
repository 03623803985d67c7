"""Words and characters of a text whose tokens are neither, so that figures compare."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class TextSize(NamedTuple):
    """The size of a split, whatever its tokens are."""

    words: int
    """Words and marks as ``rrnn data --tokens words`` counts them, with the end of each line."""

    characters: int
    """Characters, with the end of each line."""


def measure(text: Iterable[str]) -> TextSize:
    """Count the words and the characters of a text given in pieces, cut anywhere."""
    from .tokenizer_training import count_words

    characters, end = 0, "\n"

    def counted() -> Iterator[str]:
        nonlocal characters, end
        for piece in filter(None, text):
            characters += len(piece)
            end = piece[-1]
            yield piece

    words = count_words(counted())
    return TextSize(words, characters + (end != "\n"))
