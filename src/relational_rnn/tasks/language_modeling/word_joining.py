"""Words and punctuation to a text as a writer sets it: no blank before a comma."""

import re

# What stands next to the word before it, and to the word after it. The first character decides,
# as marks are repeated: "..." is one word.
NO_BLANK_BEFORE = frozenset(",.;:!?…)]}%°،؛؟।")
NO_BLANK_AFTER = frozenset("([{¿¡$£#@")
NO_BLANK_AROUND = frozenset("/\\")
QUOTES = {
    '"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "‘": "’", "‚": "‘’", "«": "»", "»": "«",
    "‹": "›", "›": "‹",
}  # fmt: skip
"""Opening quotation marks, and what closes each."""

_WITHOUT_BLANKS = re.compile(
    "[\u2e80-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003ffff]"
)
"""Chinese and Japanese characters and their punctuation."""


class Joiner:
    """The blank before each word of a line, in turn.

    German and French quotation marks open with the marks that close in English and Swedish, so a
    mark closes if it can close one that is open. A mark that opens nothing elsewhere closes as well
    (an apostrophe at the end of a word).
    """

    def __init__(self) -> None:
        self._before: str | None = None  # the word before
        self._opened = False  # whether it is an opening quotation mark
        self._open: list[str] = []  # the marks that are not closed yet

    def blank(self, word: str) -> str:
        """``" "`` or ``""``, to stand before the next word."""
        before, after_opening = self._before, self._opened
        closes = self._read(word)
        if (
            before is None
            or closes
            or after_opening
            or word[0] in NO_BLANK_BEFORE
            or word[0] in NO_BLANK_AROUND
            or before[-1] in NO_BLANK_AFTER
            or before[-1] in NO_BLANK_AROUND
            or _WITHOUT_BLANKS.match(word[0])
            or _WITHOUT_BLANKS.match(before[-1])
        ):
            return ""
        return " "

    def _read(self, word: str) -> bool:
        """Note the word, and say whether it is a closing quotation mark."""
        self._before, self._opened = word, False
        if self._open and word in QUOTES[self._open[-1]]:
            self._open.pop()
            return True
        if word in QUOTES:
            self._open.append(word)
            self._opened = True
            return False
        return word in "”’"
