"""The table, and what the figures mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..memory import MB
from ..sheet import Sheet, number, with_errors


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """One table."""
    rows: Sequence[Mapping[str, Any]] = result["rows"]
    header = ["step", "windows", "seconds", "tokens/s", "peak, MB", "without mapped files, MB"]
    cells = [
        [
            row["row"],
            number(row.get("windows")),
            number(row.get("seconds"), ",.3g" if row.get("seconds", 0) < 100 else ",.0f"),
            number(row.get("tokens_per_s")),
            number(row.get("peak_mb"), ",.1f"),
            number(row.get("own_mb"), ",.1f"),
        ]
        for row in rows
    ]
    return [with_errors(Sheet(header, cells), rows)]


def note(result: Mapping[str, Any]) -> str:
    """What was read, and how."""
    about = result["corpus"]
    text = (
        f"{about['batch_size']} streams, windows of {about['bptt']}. Made-up text of "
        f"{about['text_bytes'] / MB:,.0f} MB, {about['prepared_bytes'] / MB:,.0f} MB as ids"
    )
    if "tokens" in about:
        tokens = ", ".join(f"{count:,} ({split})" for split, count in about["tokens"].items())
        text += f": {tokens} tokens, {about['vocabulary']:,} distinct words, by Zipf's law"
    text += (
        ". Each figure once; the files had just been written, so the system has them in memory. "
        "Peak: above the process before; it counts the pages of mapped files, which the system "
        "takes back when it needs them."
    )
    compared = [row for row in result["rows"] if row.get("equal")]
    if compared:
        text += (
            f" Entered in the middle: until the first window, from the opened text; the "
            f"{compared[0]['windows']:,} windows from there to the end of the epoch were compared "
            "with those of a pass without a stop, and are equal."
        )
    return text
