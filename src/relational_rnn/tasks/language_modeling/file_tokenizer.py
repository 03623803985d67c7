"""The tokenizer of a ``tokenizer.json``, the format of Hugging Face's ``tokenizers``."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tokenizers

from ...errors import UserError
from ...files import write_text
from .lines import lines
from .tokenization import EOS, WHITESPACE
from .word_joining import Joiner

BATCH = 1 << 16  # characters tokenized at a time
INCOMPLETE = "\ufffd"  # a byte that is not a whole character


class FileTokenizer:
    """Words as a ``tokenizer.json`` says.

    Two kinds are told apart by the type of its model. ``WordLevel``: whole words, of which those
    not in the vocabulary are read as ``<unk>``; how words were separated is lost. Any other:
    characters or parts of words, which give back every text exactly.

    Args:
        content: the JSON.

    Raises:
        ValueError: it is not a tokenizer, or has no ``<eos>``, or its ids have gaps.
    """

    def __init__(self, content: str) -> None:
        self.content = content
        self.digest = hashlib.sha256(content.encode()).hexdigest()
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
            declared = json.loads(content)
            self.exact = declared["model"]["type"] != "WordLevel"
            splitter = declared.get("pre_tokenizer")
            self._split_at_whitespace = splitter == {"type": "WhitespaceSplit"}
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(str(error)) from error
        if splitter is None and not self.exact:
            raise ValueError("whole words need a pre_tokenizer")
        ids = self._tokenizer.get_vocab()
        self.words = sorted(ids, key=ids.__getitem__)
        """All words, ``words[i]`` with the id i."""
        if EOS not in ids:
            raise ValueError(f"it must have the token {EOS}, which ends every line")
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError(f"its ids must be 0 to {len(ids) - 1:,}")
        self._ids = ids

    def tokenize(self, text: Iterable[str]) -> Iterator[list[str]]:
        """See :meth:`.Tokenizer.tokenize`; a word that is not in the vocabulary is kept."""
        for batch in _batches(text):
            words: list[str] = []
            for line, found in zip(batch, self._split(batch), strict=True):
                words += found
                if line.endswith("\n"):
                    words.append(EOS)
            yield words

    def _split(self, batch: list[str]) -> Iterator[list[str]]:
        stripped = [line.removesuffix("\n") for line in batch]
        if self.exact:
            encoded = self._tokenizer.encode_batch_fast(stripped, add_special_tokens=False)
            yield from ([self.words[id] for id in one.ids] for one in encoded)
            return
        normalizer, splitter = self._tokenizer.normalizer, self._tokenizer.pre_tokenizer
        for line in stripped:
            plain = line if normalizer is None else normalizer.normalize_str(line)
            yield [word for word, _ in splitter.pre_tokenize_str(plain)]

    def as_text(self, words: Iterable[str], after: Sequence[str] = ()) -> Iterator[str]:
        """See :meth:`.Tokenizer.as_text`."""
        if self.exact:
            return self._decode(words)
        if self._split_at_whitespace:
            return WHITESPACE.as_text(words, after)
        return _join(words, after)

    def _decode(self, words: Iterable[str]) -> Iterator[str]:
        pending: list[int] = []  # the bytes of a character that is not complete yet
        for word in words:
            if word == EOS:
                yield self._tokenizer.decode(pending) + "\n"
                pending = []
                continue
            pending.append(self._ids[word])
            text = self._tokenizer.decode(pending)
            if not text.endswith(INCOMPLETE):
                yield text
                pending = []
        if pending:
            yield self._tokenizer.decode(pending)

    def shown(self, word: str) -> str:
        """A word alone: its characters, with ``␣`` for a blank, if it has whole characters."""
        if not self.exact or word == EOS:
            return word
        text = self._tokenizer.decode([self._ids[word]])
        return word if INCOMPLETE in text else text.replace(" ", "␣")

    def save(self, path: Path) -> None:
        """Write the file."""
        write_text(path, self.content)

    @classmethod
    def load(cls, path: Path) -> "FileTokenizer":
        """Read a file.

        Raises:
            UserError: the file cannot be read, or is not a tokenizer that can be used.
        """
        try:
            return cls(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UserError(
                f"{path}: is not a tokenizer ({error}); it must be the tokenizer.json of rrnn data"
            ) from error


def _batches(text: Iterable[str]) -> Iterator[list[str]]:
    """The lines of a text in lists; the last line gets the ``"\\n"`` that it may lack."""
    batch: list[str] = []
    size = 0
    ended = True
    for line in lines(text):
        batch.append(line)
        size += len(line)
        ended = line.endswith("\n")
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if not ended:
        batch.append("\n")
    if batch:
        yield batch


def _join(words: Iterable[str], after: Sequence[str]) -> Iterator[str]:
    """Put words and punctuation together as a writer does, see :mod:`.word_joining`."""
    joiner = Joiner()
    for word in after:
        if word == EOS:
            joiner = Joiner()
        else:
            joiner.blank(word)
    for word in words:
        if word == EOS:
            yield "\n"
            joiner = Joiner()
        else:
            yield joiner.blank(word) + word
