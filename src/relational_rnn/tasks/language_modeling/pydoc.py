"""The built-in corpus: the language reference that every Python carries for ``help("if")``."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from ...errors import UserError
from .words import SPLITS, UNKNOWN, Split

RARE = 2  # words seen less often than this in the training topics become <unk>
TELLING = 10  # words; topics that share a paragraph of this length are not parted
SHARES: dict[Split, float] = {"train": 0.8, "valid": 0.1, "test": 0.1}


class Pydoc:
    """The topics of ``pydoc_data.topics``: a small corpus that needs no download.

    On Python 3.11.7: 87,018 / 9,959 / 11,796 tokens, vocabulary 2,678. Each release of Python
    edits the reference, so figures compare within one release only.

    Words and marks are parted, case is kept, lines stay as the help shows them. Words that the
    training topics hold once, or never, are ``<unk>``.
    """

    name = "pydoc"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole text."""
        parts = "\f".join(self._parts[split] for split in SPLITS)
        return hashlib.sha256(parts.encode()).hexdigest()

    def where(self, split: Split) -> str:
        """Name and split."""
        return f"{self.name} ({split})"

    def text(self, split: Split) -> Iterator[str]:
        """Yield the text of a split.

        Raises:
            UserError: this Python was built without its documentation.
        """
        yield self._parts[split]

    @cached_property
    def _parts(self) -> dict[Split, str]:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise UserError(
                "pydoc: this Python comes without pydoc_data, of which the built-in corpus is "
                "made; say --data FOLDER with train.txt, valid.txt and test.txt"
            ) from None
        lines = {
            split: [_words(line) for topic in names for line in topics[topic].splitlines()]
            for split, names in deal(topics).items()
        }
        counts = Counter(word for line in lines["train"] for word in line)

        def known(word: str) -> str:
            return word if counts[word] >= RARE else UNKNOWN

        return {
            split: "".join(" ".join(map(known, line)) + "\n" for line in part)
            for split, part in lines.items()
        }


def deal(topics: Mapping[str, str]) -> dict[Split, list[str]]:
    """Divide topics among the splits, whole families at a time, the largest first.

    Each goes where the share is least filled; no chance is involved.
    """
    size = {name: len(text) for name, text in topics.items()}
    room = {split: share * sum(size.values()) for split, share in SHARES.items()}
    dealt: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for family in sorted(families(topics), key=lambda names: -sum(size[name] for name in names)):
        split = max(room, key=room.__getitem__)
        room[split] -= sum(size[name] for name in family)
        dealt[split] += family
    return {split: sorted(names) for split, names in dealt.items()}


def families(topics: Mapping[str, str]) -> list[list[str]]:
    """Group the topics that repeat each other, as "specialnames" repeats "customization".

    Dealt apart, they would put text of the test split into the training split.
    """
    family = {name: [name] for name in sorted(topics)}
    first: dict[str, str] = {}  # paragraph -> the first topic that has it
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            words = paragraph.split()
            if len(words) >= TELLING:
                relative = family[first.setdefault(" ".join(words), name)]
                if relative is not family[name]:
                    relative += family[name]
                    family.update(dict.fromkeys(family[name], relative))
    return [names for name, names in family.items() if names[0] == name]


def _words(line: str) -> list[str]:
    """Part words from marks; a row of one mark is one word, cut to three (``*****`` is ``***``)."""
    line = re.sub(r"([^\w\s])\1{3,}", r"\1\1\1", line)
    return [match.group() for match in re.finditer(r"\w+|([^\w\s])\1*", line)]
