"""Text to words, the only place where it happens: ``line.split() + ["<eos>"]`` for every line."""

from collections.abc import Iterable, Iterator
from typing import Literal

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

EOS = "<eos>"
UNKNOWN = "<unk>"


def tokenize(text: Iterable[str]) -> Iterator[list[str]]:
    """Split a text into words, with ``<eos>`` after every line, including blank lines.

    Tokens are counted as in WikiText (Merity et al. 2016). Leaving out blank lines would change
    the perplexity.

    Args:
        text: the text in pieces, cut anywhere. Lines end with ``"\\n"``, optional for the last.

    Yields:
        Lists of words, about one list per piece. Memory is bounded by the size of a piece, even if
        the whole text is a single line.
    """
    rest = ""
    end_of_line = True
    for piece in filter(None, text):
        rest += piece
        end_of_line = piece.endswith("\n")
        cut = max(rest.rfind("\n"), rest.rfind(" ")) + 1  # the last word may continue
        if cut:
            yield rest[:cut].replace("\n", f" {EOS} ").split()
            rest = rest[cut:]
    if not end_of_line:
        yield [*rest.split(), EOS]
