"""Text to words and back, where words are separated by whitespace; and what a tokenizer has to do.

A text without a ``tokenizer.json`` is read here: every line is ``line.split() + ["<eos>"]``. For
other texts see :mod:`.file_tokenizer`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

EOS = "<eos>"
UNKNOWN = "<unk>"


class Tokenizer(Protocol):
    """How a text becomes words, and words a text. A word may be a character or a part of a word."""

    @property
    def digest(self) -> str:
        """SHA-256 of the tokenizer's file; empty for whitespace, which has none."""

    @property
    def words(self) -> list[str] | None:
        """The vocabulary, in the order of the ids; None: the words of the training text."""

    @property
    def exact(self) -> bool:
        """Whether the words of any text give back the text, so that its characters count."""

    def tokenize(self, text: Iterable[str]) -> Iterator[list[str]]:
        """Split a text, given in pieces cut anywhere, into words, with ``<eos>`` after each line.

        Yields:
            Lists of words. Memory is bounded, even if the whole text is a single line.
        """

    def as_text(self, words: Iterable[str], after: Sequence[str] = ()) -> Iterator[str]:
        """Yield strings that, concatenated, are the text of the words.

        Args:
            words: the words; each is shown as soon as it is given, if it is complete.
            after: words of the text before, which decide whether a blank comes first.
        """

    def shown(self, word: str) -> str:
        """A word alone, as it is shown in a list."""

    def save(self, path: Path) -> None:
        """Write the tokenizer's file, if it has one."""


class WhitespaceTokenizer:
    """Words are separated by whitespace: the text is tokenized already."""

    digest = ""
    words = None
    exact = False

    def tokenize(self, text: Iterable[str]) -> Iterator[list[str]]:
        """As :func:`tokenize`."""
        return tokenize(text)

    def as_text(self, words: Iterable[str], after: Sequence[str] = ()) -> Iterator[str]:
        """Put a blank between the words of a line."""
        before = " " if after and after[-1] != EOS else ""
        for word in words:
            if word == EOS:
                yield "\n"
                before = ""
            else:
                yield before + word
                before = " "

    def shown(self, word: str) -> str:
        """The word as it is."""
        return word

    def save(self, path: Path) -> None:
        """Write nothing."""


WHITESPACE: Tokenizer = WhitespaceTokenizer()


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, or whitespace where there is no such file.

    Raises:
        UserError: the file is not a tokenizer.
    """
    if not path.exists():
        return WHITESPACE
    from .file_tokenizer import FileTokenizer  # with a library that other texts do not need

    return FileTokenizer.load(path)


def tokenize(text: Iterable[str]) -> Iterator[list[str]]:
    """Split a text at whitespace, with ``<eos>`` after every line, including blank lines.

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
