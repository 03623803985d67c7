"""The measurement: a text is written, prepared, streamed, and entered in the middle."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...config import LanguageModelingConfig, load
from ..growth import WIKITEXT103
from ..machine import describe
from ..worker import RowError, Worker
from .subject import Errand, Streaming
from .text import check_room, write

CONFIG = "wikitext103-rmc-paper"
TOKENS = 103_227_021  # of WikiText-103's training text

Row = dict[str, Any]
Progress = Callable[[str], None]


def measure(
    tokens: int = TOKENS,
    *,
    vocabulary_size: int = WIKITEXT103,
    batch_size: int | None = None,
    bptt: int | None = None,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Measure a text of so many words, in a temporary folder.

    Preparing, streaming and entering have a process each, so that none has what another left.

    Args:
        tokens: words of the training text, ends of lines among them.
        vocabulary_size: distinct words, ``<eos>`` among them.
        batch_size: streams; by default those of the paper's configuration, as the next.
        bptt: tokens of a window.
        progress: told what is being done.

    Returns:
        machine, corpus (what it is about) and rows: plain values, ready for JSON.

    Raises:
        UserError: there is too little room on the disk.
    """
    machine = describe()
    config = load(CONFIG, {})
    assert isinstance(config, LanguageModelingConfig)
    with tempfile.TemporaryDirectory(prefix="rrnn-corpus-") as name:
        folder = Path(name) / "text"
        folder.mkdir()
        check_room(folder, tokens)
        progress(f"writing {tokens:,} words")
        write(folder, tokens=tokens, vocabulary_size=vocabulary_size)
        errand = Errand(
            folder=str(folder),
            cache=str(Path(name) / "cache"),
            batch_size=batch_size or config.batch_size,
            bptt=bptt or config.bptt,
        )
        about = {
            "text_bytes": sum(path.stat().st_size for path in folder.iterdir()),
            "batch_size": errand.batch_size,
            "bptt": errand.bptt,
        }
        rows: list[Row] = []
        try:
            about |= _prepare(errand, rows, progress)
            state, expected = _stream(errand, rows, progress)
            _enter(errand, rows, state, expected, progress)
        except RowError:
            pass  # the row that failed says it; there is nothing for those after it to start from
        about["prepared_bytes"] = sum(path.stat().st_size for path in Path(name).rglob("*.bin"))
    return {"machine": machine, "corpus": about, "rows": rows}


def _new(rows: list[Row], name: str) -> Row:
    """One row more."""
    rows.append({"row": name})
    return rows[-1]


def _ask(worker: Worker, row: Row, question: str, *arguments: Any) -> dict[str, Any]:
    """The answer; if there is none, the row says why."""
    try:
        answer: dict[str, Any] = worker.ask(question, *arguments)
    except RowError as error:
        row["error"] = str(error)
        raise
    return answer


def _prepare(errand: Errand, rows: list[Row], progress: Progress) -> dict[str, Any]:
    """A row; vocabulary and tokens."""
    row = _new(rows, "prepare")
    progress("preparing")
    with Worker(Streaming, errand) as worker:
        answer = _ask(worker, row, "prepare")
    about = {name: answer.pop(name) for name in ("vocabulary", "tokens")}
    tokens = sum(about["tokens"].values())
    row |= {**answer, "tokens_per_s": tokens / answer["seconds"]}
    return about


def _stream(
    errand: Errand, rows: list[Row], progress: Progress
) -> tuple[dict[str, int], dict[str, Any]]:
    """Two rows; the position in the middle, and what is expected after it."""
    with Worker(Streaming, errand) as worker:
        row = _new(rows, "open")
        progress("opening")
        row |= _ask(worker, row, "open")
        row = _new(rows, "one pass")
        progress("one pass over all windows")
        answer = _ask(worker, row, "one_pass")
        row |= {**answer, "tokens_per_s": answer["tokens"] / answer["seconds"]}
        progress("one pass over all windows, to compare with")
        expected = _ask(worker, row, "from_middle")
    return expected.pop("state"), expected


def _enter(
    errand: Errand,
    rows: list[Row],
    state: dict[str, int],
    expected: dict[str, Any],
    progress: Progress,
) -> None:
    """A row, which fails if the windows are not those of the uninterrupted pass."""
    row = _new(rows, "enter in the middle")
    progress("entering in the middle of the epoch")
    with Worker(Streaming, errand) as worker:
        _ask(worker, row, "open")
        answer = _ask(worker, row, "jump", state)
    found = {name: answer.pop(name) for name in expected}
    row |= {**answer, "windows": found["windows"], "equal": found == expected}
    if found != expected:
        row["error"] = f"windows from {state['done']:,} on are not those of the uninterrupted pass"
