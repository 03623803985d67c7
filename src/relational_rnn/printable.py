"""Show text that others wrote: names, words and messages may hold escape sequences.

A control character in a file name or a vocabulary would reach the terminal, which obeys it. All
text that is not the program's own is passed through :func:`printable` before it is printed.
"""

import re

_CONTROLS = (
    "\x00-\x1f\x7f-\x9f"  # C0 and C1: escape sequences, carriage return, newline
    "\u2028\u2029"  # line and paragraph separator
    "\u202a-\u202e\u2066-\u2069"  # overrides of the writing direction
    "\ud800-\udfff"  # surrogates: no characters, and no encoding has them
)
_LINE = re.compile(f"[{_CONTROLS}]")
_LINES = re.compile(f"(?!\n)[{_CONTROLS}]")

LONGEST_MESSAGE = 2000


def printable(text: object, *, newlines: bool = False) -> str:
    """Text with each control character as an escape: ``\\x1b`` for ESC, ``\\n`` for a newline.

    A byte of a file name that is not UTF-8 is shown as ``\\xff``.

    Args:
        text: anything; ``str`` of it is shown.
        newlines: keep newlines, for text of several lines.
    """
    return (_LINES if newlines else _LINE).sub(_escaped, str(text))


def is_unicode(text: str) -> bool:
    """Whether it can be encoded; a file name that is not UTF-8 cannot."""
    return re.search("[\ud800-\udfff]", text) is None


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Text without its middle, if it is longer than ``longest`` characters."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {text[-half:]}"


def quoted(value: object, longest: int = 200) -> str:
    """``repr`` of a value that may be as large as a file, for a message."""
    try:
        return shortened(repr(value), longest)
    except ValueError:  # an integer with more digits than Python converts
        return "a number with thousands of digits"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python decodes the byte 0x80 to 0xff of a file name
        code -= 0xDC00
    shown = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0])
    return shown or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
