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
        the whole text is a single line, with any whitespace between the words.
    """
    begun: list[str] = []  # the last word so far, which may continue
    end_of_line = True
    for piece in filter(None, text):
        end_of_line = piece.endswith("\n")
        last = "" if piece[-1].isspace() else piece.rsplit(None, 1)[-1]
        if complete := piece[: len(piece) - len(last)]:
            yield "".join([*begun, complete]).replace("\n", f" {EOS} ").split()
            begun = []
        begun.append(last)
    if not end_of_line:
        yield [*"".join(begun).split(), EOS]
