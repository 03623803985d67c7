"""Text to words, the only place where it happens: ``line.split() + ["<eos>"]`` for every line."""

from collections.abc import Iterable, Iterator
from typing import Literal

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

EOS = "<eos>"
UNKNOWN = "<unk>"


def words(text: Iterable[str]) -> Iterator[list[str]]:
    """Split a text into its words, with ``<eos>`` after every line, blank lines too.

    As WikiText's authors and everyone since count tokens (Merity et al. 2016): leaving blank
    lines out changes the perplexity.

    Args:
        text: the text in pieces, cut anywhere; lines end with ``"\\n"``, the last may lack it.

    Yields:
        The words in lists of about one piece each: memory is bounded by the pieces, even where
        the whole text is a single line.
    """
    rest = ""
    end_of_line = True
    for piece in filter(None, text):
        rest += piece
        end_of_line = piece.endswith("\n")
        cut = max(rest.rfind("\n"), rest.rfind(" ")) + 1  # the word after it may go on
        if cut:
            yield rest[:cut].replace("\n", f" {EOS} ").split()
            rest = rest[cut:]
    if not end_of_line:
        yield [*rest.split(), EOS]
