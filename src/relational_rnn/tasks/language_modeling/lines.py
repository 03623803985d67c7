"""A text in pieces to its lines, of bounded length."""

from collections.abc import Iterable, Iterator

LONGEST = 1 << 16  # characters; a longer line is cut


def lines(text: Iterable[str], longest: int = LONGEST) -> Iterator[str]:
    r"""Yield the lines of a text with their ``"\n"``; the last one may lack it.

    A line of more than ``longest`` characters is yielded in parts, of which only the last has the
    ``"\n"``. Each is cut before its last blank, or else at ``longest``. The parts do not depend on
    the pieces in which the text is given.

    Args:
        text: the text in pieces, cut anywhere.
        longest: characters of a part.
    """
    begun = ""
    for piece in text:
        *complete, begun = (begun + piece).split("\n")
        for line in complete:
            *parts, last = _cut(line, longest)
            yield from parts
            yield last + "\n"
        *parts, begun = _cut(begun, longest)
        yield from parts
    if begun:
        yield begun


def _cut(line: str, longest: int) -> Iterator[str]:
    start = 0
    while len(line) - start > longest:
        blank = line.rfind(" ", start + 1, start + longest)
        end = start + longest if blank < 0 else blank
        yield line[start:end]
        start = end
    yield line[start:]
