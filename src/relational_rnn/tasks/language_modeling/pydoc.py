"""The built-in corpus: the language reference that Python ships for ``help("if")``."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from ...errors import UserError
from .tokenization import SPLITS, UNKNOWN, WHITESPACE, Split

RARE = 2  # words less frequent than this in the training topics become <unk>
SHARED_WORDS = 10  # topics with a common paragraph of this many words stay in one split
SHARES: dict[Split, float] = {"train": 0.8, "valid": 0.1, "test": 0.1}


class Pydoc:
    """The topics of ``pydoc_data.topics``: a small corpus that needs no download.

    On Python 3.11.7: 87,018 / 9,959 / 11,796 tokens, vocabulary 2,678. The reference changes with
    every release of Python, so results are comparable within one release only.

    Words and punctuation are separated, case and line breaks are kept. Words that occur at most
    once in the training topics become ``<unk>``.
    """

    name = "pydoc"
    location = name
    tokenizer = WHITESPACE

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole text."""
        parts = "\f".join(self._parts[split] for split in SPLITS)
        return hashlib.sha256(parts.encode()).hexdigest()

    def where(self, split: Split) -> str:
        """Name and split."""
        return f"{self.name} ({split})"

    def size(self, split: Split) -> int:
        """Characters of a split."""
        return len(self._parts[split])

    def tokens(self, split: Split) -> int | None:
        """None: it depends on the version of Python."""
        return None

    def text(self, split: Split) -> Iterator[str]:
        """Yield the text of a split.

        Raises:
            UserError: this Python was built without ``pydoc_data``.
        """
        yield self._parts[split]

    @cached_property
    def _parts(self) -> dict[Split, str]:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise UserError(
                "pydoc: this Python lacks pydoc_data, the source of the built-in corpus; pass "
                "--data FOLDER with train.txt, valid.txt and test.txt"
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
    """Assign topics to the splits, whole families at a time, the largest family first.

    Each family goes to the split with the most room left; nothing is random.
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
    """Group topics with common paragraphs, as "specialnames" repeats "customization".

    Assigned to different splits, they would leak test text into the training split.
    """
    family = {name: [name] for name in sorted(topics)}
    first: dict[str, str] = {}  # paragraph -> the first topic that has it
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            words = paragraph.split()
            if len(words) >= SHARED_WORDS:
                relative = family[first.setdefault(" ".join(words), name)]
                if relative is not family[name]:
                    relative += family[name]
                    family.update(dict.fromkeys(family[name], relative))
    return [names for name, names in family.items() if names[0] == name]


def _words(line: str) -> list[str]:
    """Separate words and punctuation; a repeated mark is one word of at most three (``***``)."""
    line = re.sub(r"([^\w\s])\1{3,}", r"\1\1\1", line)
    return [match.group() for match in re.finditer(r"\w+|([^\w\s])\1*", line)]
