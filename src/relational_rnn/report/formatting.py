"""Numbers and configuration values as the text of a table cell; "–" stands for None."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MARKUP = re.compile(r"[\\`*~&\[\]<>|]|(?<!\w)_|_(?!\w)")
"""Characters that mean something in Markdown; an underscore does not within a word."""


def duration(seconds: float | None) -> str:
    """A time in seconds, in a suitable unit: "12.5 s", "57.1 min", "1.48 h"."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def milliseconds(value: float | None) -> str:
    """A time in milliseconds: "61.4", "1,134"."""
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def whole(value: float | None) -> str:
    """A number without decimals: "15,814"."""
    return "–" if value is None else f"{value:,.0f}"


def millions(value: float | None) -> str:
    """A count, in millions from one million on: "242,052", "10.71 M"."""
    return f"{value / 1e6:,.2f} M" if value is not None and value >= 1e6 else whole(value)


def quality(value: float | None) -> str:
    """A perplexity with two decimals, or an accuracy between 0 and 1 with four."""
    return "–" if value is None else f"{value:,.2f}" if value > 1 else f"{value:.4f}"


def percent(value: float) -> str:
    """A share with one decimal: "97.3%"."""
    return f"{value:.1%}"


def escaped(text: str) -> str:
    """The text as Markdown that shows it, on one line."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def field_value(value: Any) -> str:
    """The value of a configuration field, floats with four significant digits."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table in Markdown, each line with its end.

    Args:
        header: of the columns.
        rows: cells, in Markdown.
        left: number of columns that are aligned to the left, from the first on; others to the
            right.
    """
    lines = [header, [":--"] * left + ["--:"] * (len(header) - left), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def origins_in_words(origins: Iterable[Mapping[str, Any]]) -> list[str]:
    """Machine, versions and commit of runs, each combination once; given are their summaries."""
    found = []
    for origin in origins:
        machine, commit = origin.get("machine"), origin.get("commit")
        if machine:
            threads = machine.get("threads")
            versions = origin.get("versions", {})
            found.append(
                f"{machine.get('processor')}, {threads} {'thread' if threads == 1 else 'threads'}, "
                f"device {machine.get('device')}, torch {versions.get('torch')}, "
                f"commit {(commit or 'unknown')[:12]}"
            )
    return list(dict.fromkeys(found))
