"""The vocabulary: words and their ids."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import check_not_a_pipe, write_text
from .tokenization import EOS, UNKNOWN, WHITESPACE, Tokenizer

REMEDY = f"use words of the training text, or replace its rare words by {UNKNOWN} and train again"


class Vocabulary:
    """The words of a training text; a word's id is its index in :attr:`words`.

    Args:
        words: distinct words by descending frequency, as adaptive softmax expects.
        tokenizer: how a text becomes these words.

    Raises:
        ValueError: a word occurs twice, or ``<eos>`` is missing.
    """

    def __init__(self, words: Iterable[str], tokenizer: Tokenizer = WHITESPACE):
        self.words = list(words)
        self.tokenizer = tokenizer
        self.index = {word: id for id, word in enumerate(self.words)}
        if len(self.index) < len(self.words):
            raise ValueError("words must be distinct")
        if EOS not in self.index:
            raise ValueError(f"words must include {EOS}, which ends every line")
        if tokenizer.words not in (None, self.words):
            raise ValueError("words must be those of the tokenizer")

    @classmethod
    def of(cls, text: Iterable[list[str]]) -> "Vocabulary":
        """Count the words of a text; equally frequent words are ordered by first occurrence."""
        counts: Counter[str] = Counter()
        for words in text:
            counts.update(words)
        return cls(word for word, _ in counts.most_common())

    def __len__(self) -> int:
        return len(self.words)

    @property
    def eos(self) -> int:
        """Id of ``<eos>``."""
        return self.index[EOS]

    @property
    def unknown(self) -> int | None:
        """Id of ``<unk>``; None if the training text lacks it."""
        return self.index.get(UNKNOWN)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the words in order and of the tokenizer.

        Vocabularies with equal digests assign equal ids to a text.
        """
        parts = [*self.words, self.tokenizer.digest] if self.tokenizer.digest else self.words
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def encode(self, words: Sequence[str], *, where: str) -> NDArray[np.int64]:
        """Map words to ids ``[len(words)]``, and words not in the vocabulary to ``<unk>``.

        Args:
            words: the words, as the tokenizer yields them.
            where: origin of the words for messages: a file, "the prompt".

        Raises:
            UserError: as :meth:`check`.
        """
        unknown = -1 if self.unknown is None else self.unknown
        found = map(self.index.get, words, repeat(unknown))
        ids = np.fromiter(found, dtype=np.int64, count=len(words))
        if -1 in ids:
            self.check([words], where=where)
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Map ids to words."""
        return [self.words[id] for id in ids]

    def check(
        self, text: Iterable[Sequence[str]], *, where: str, remedy: str | None = None
    ) -> None:
        """Check that every word of a text has an id.

        Args:
            text: the words.
            where: as in :meth:`encode`.
            remedy: what to do, for the message.

        Raises:
            UserError: the vocabulary has no ``<unk>`` and lacks some of the words; the message
                gives their number and the first of them.
        """
        if self.unknown is not None:
            return
        missing = Counter(word for words in text for word in words if word not in self.index)
        if missing:
            first = ", ".join(repr(word) for word in list(missing)[:5])
            more = ", …" if len(missing) > 5 else ""
            raise UserError(
                f"{where}: {missing.total():,} tokens ({len(missing):,} distinct words) are not in "
                f"the vocabulary, which has no {UNKNOWN}: {first}{more}; {remedy or REMEDY}"
            )

    def save(self, path: Path) -> None:
        """Write the words as a JSON list, one word per line."""
        write_text(path, json.dumps(self.words, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path, tokenizer: Tokenizer = WHITESPACE) -> "Vocabulary":
        """Read a file written by :meth:`save`; ``tokenizer`` as above.

        Raises:
            UserError: the file does not exist or is not a vocabulary.
        """
        try:
            check_not_a_pipe(path)
            words = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError("not a list of words")
            text = " ".join(words)
            text.encode()  # raises for half of a surrogate pair, which JSON allows
            if tokenizer.words is None and text.split() != words:
                raise ValueError("a word is empty or holds whitespace")
            return cls(words, tokenizer)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        except RecursionError as error:
            raise UserError(
                f"{path}: is not a vocabulary (nested too deep); it must be a JSON list of "
                "distinct words"
            ) from error
        except ValueError as error:
            raise UserError(
                f"{path}: is not a vocabulary ({error}); it must be a JSON list of distinct words"
            ) from error
