"""What a text of WikiText-103's size costs to prepare and to stream.

A synthetic text is written, prepared as ``rrnn data`` does, streamed as training does, and entered
in the middle of an epoch as a resumed run does.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import LanguageModelingConfig, load
from ..errors import UserError
from ..tasks.language_modeling import Corpus, open_corpus
from ..tasks.language_modeling.batching import Windows, streams
from ..train.text import Batch, TrainingStream
from . import process_memory
from .cases import PAPER, WIKITEXT103
from .measurement import Measurement, Progress, Result
from .process_memory import MB
from .tables import Row, number, one_table, text
from .timing import timed
from .worker import Worker, WorkerError

TOKENS = 103_227_021  # of WikiText-103's training text
SEED = 1
CHUNK = 2**20  # words generated at once
WORDS_PER_LINE = 57  # on average, line ends included, as in WikiText-103
BYTES_PER_WORD = 14.5  # on disk: 6 as text, 4 as an id, and a margin
HELD_OUT = 500  # valid and test have this fraction of the training text, as in WikiText-103
READ_MEMORY_EVERY = 64  # windows


def check_disk_space(folder: Path, tokens: int) -> None:
    """Check that text and ids fit on the disk.

    Raises:
        UserError: they do not.
    """
    needed, free = tokens * BYTES_PER_WORD, shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {free / 1e9:.2f} GB are free, a text of {tokens:,} words and its ids need "
            f"{needed / 1e9:.2f} GB; free some space or set TMPDIR to another folder"
        )


def write_text(folder: Path, *, tokens: int, vocabulary_size: int) -> None:
    """Write ``train.txt``, ``valid.txt`` and ``test.txt`` of random words by Zipf's law.

    Args:
        folder: an existing folder.
        tokens: words of the training text, line ends included.
        vocabulary_size: distinct words, ``<eos>`` included; the training text has all of them.

    Raises:
        ValueError: fewer than two tokens for each word.
    """
    if tokens < 2 * vocabulary_size:
        raise ValueError(f"tokens must be at least {2 * vocabulary_size:,}, got {tokens:,}")
    words = np.array(["\n", *(f"w{rank} " for rank in range(1, vocabulary_size))], dtype="S")
    held_out = max(2, tokens // HELD_OUT)
    random = np.random.default_rng(SEED)
    for split, count in (("train", tokens), ("valid", held_out), ("test", held_out)):
        with open(folder / f"{split}.txt", "wb") as file:
            for ids in _random_ids(random, count, vocabulary_size, every=split == "train"):
                file.write(words[ids].tobytes().translate(None, b"\0"))
            file.flush()
            os.fsync(file.fileno())  # no writing to disk during what is timed later


def _random_ids(
    random: np.random.Generator, count: int, vocabulary_size: int, *, every: bool
) -> Iterator[NDArray[np.int64]]:
    """Ids in chunks; 0 ends a line, and the text. With `every`, each word occurs."""
    weights = 1 / (np.arange(1, vocabulary_size) + 2.7)  # as in `bench.work.words`
    up_to = np.cumsum(weights / weights.sum())
    stride = count // vocabulary_size
    for start in range(0, count, CHUNK):
        places = np.arange(start, min(start + CHUNK, count))
        ids = 1 + np.searchsorted(up_to[:-1], random.random(len(places)), side="right")
        ids[random.random(len(places)) < 1 / WORDS_PER_LINE] = 0
        if every:
            due = (places % stride == 0) & (places // stride < vocabulary_size)
            ids[due] = places[due] // stride
        if start + CHUNK >= count:
            ids[-1] = 0
        yield ids


@dataclass(frozen=True, kw_only=True)
class CorpusCase:
    """A text and how it is streamed; plain values only.

    Attributes:
        folder: of the text.
        cache: folder for the prepared text.
        batch_size: streams.
        bptt: tokens of a window.
    """

    folder: str
    cache: str
    batch_size: int
    bptt: int


class CorpusReader:
    """The text, in a worker process: a method for each thing that is measured.

    Args:
        case: the text.
    """

    def __init__(self, case: CorpusCase) -> None:
        self.case = case

    def prepare(self) -> dict[str, Any]:
        """Open the text for the first time, which prepares it.

        Returns:
            seconds, peak_mb above the start, vocabulary, and tokens of each split.
        """
        figures = _measured(self._open)
        return {**figures, **self._open().summary()}

    def open(self) -> dict[str, float]:
        """Open the prepared text and its windows: seconds, and peak_mb above the start."""
        return _measured(lambda: self.stream)

    def one_pass(self) -> dict[str, float]:
        """Make all windows of an epoch.

        Returns:
            seconds, windows, tokens; peak_mb, and own_mb without pages of mapped files.
        """
        stream, count = self.stream, 0
        start = highest = process_memory.private()

        def work() -> None:
            nonlocal count, highest
            for index, batch in enumerate(_epoch(stream)):
                count += batch.targets.numel()
                if index % READ_MEMORY_EVERY == 0:
                    highest = max(highest, process_memory.private())

        figures = _measured(work)
        own = highest - start
        return {**figures, "windows": len(stream.windows), "tokens": count, "own_mb": own}

    def from_middle(self) -> dict[str, Any]:
        """Make all windows of an epoch without interruption.

        Returns:
            state, the position in the middle of the epoch; number and fingerprint of the windows
            after it.
        """
        stream = self.stream
        batches = _epoch(stream)
        for _ in islice(batches, len(stream.windows) // 2):
            pass
        return {"state": stream.state_dict(), **_fingerprint(batches)}

    def resume(self, state: dict[str, int]) -> dict[str, Any]:
        """Continue from a position to the end of the epoch, as a resumed run does.

        Returns:
            seconds and peak_mb until the first window; number and fingerprint of the windows.
        """
        stream = self.stream
        batches: Iterator[Batch] = iter(())
        first: list[Batch] = []

        def work() -> None:
            nonlocal batches
            stream.load_state_dict(state)
            batches = _epoch(stream)
            first.append(next(batches))

        figures = _measured(work)
        return {**figures, **_fingerprint(chain(first, batches))}

    @cached_property
    def stream(self) -> TrainingStream:
        """Training windows from the start of the text."""
        ids = self._open().tokens["train"]
        return TrainingStream(Windows(streams(ids, self.case.batch_size), bptt=self.case.bptt))

    def _open(self) -> Corpus:
        return open_corpus(self.case.folder, cache_dir=Path(self.case.cache))


def _epoch(stream: TrainingStream) -> Iterator[Batch]:
    """The rest of the epoch."""
    for batch in stream:
        yield batch
        if batch.last:
            return


def _fingerprint(batches: Iterable[Batch]) -> dict[str, Any]:
    """Number of windows, and a SHA-256 of all their ids and shapes."""
    digest, count = hashlib.sha256(), 0
    for batch in batches:
        for ids in (batch.inputs, batch.targets):
            digest.update(f"{tuple(ids.shape)}".encode())
            digest.update(ids.contiguous().numpy().data)
        count += 1
    return {"windows": count, "fingerprint": digest.hexdigest()}


def _measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the work, and its peak megabytes above the process before."""
    seconds: list[float] = []
    peak = process_memory.peak_during(lambda: seconds.append(timed(work).wall))
    return {"seconds": seconds[0], "peak_mb": peak}


def measure(
    tokens: int = TOKENS,
    *,
    vocabulary_size: int = WIKITEXT103,
    batch_size: int | None = None,
    bptt: int | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Measure a text in a temporary folder: a row each for prepare, open, one pass, resume.

    A new process prepares, streams, and resumes, so that none finds the memory of another. After a
    row that failed there are no more.

    Args:
        tokens: words of the training text, line ends included.
        vocabulary_size: distinct words, ``<eos>`` included.
        batch_size: streams; the paper's configuration by default, as for `bptt`.
        bptt: tokens of a window.
        progress: called with what is being done.

    Returns:
        corpus (sizes of the text) and rows.

    Raises:
        UserError: there is too little space on the disk.
    """
    config = load(PAPER, {})
    assert isinstance(config, LanguageModelingConfig)
    with tempfile.TemporaryDirectory(prefix="rrnn-corpus-") as name:
        folder = Path(name) / "text"
        folder.mkdir()
        check_disk_space(folder, tokens)
        progress(f"writing {tokens:,} words")
        write_text(folder, tokens=tokens, vocabulary_size=vocabulary_size)
        case = CorpusCase(
            folder=str(folder),
            cache=str(Path(name) / "cache"),
            batch_size=batch_size or config.batch_size,
            bptt=bptt or config.bptt,
        )
        corpus: dict[str, Any] = {
            "text_bytes": sum(path.stat().st_size for path in folder.iterdir()),
            "batch_size": case.batch_size,
            "bptt": case.bptt,
        }
        rows: list[dict[str, Any]] = []
        with contextlib.suppress(WorkerError):  # it is in the last row
            _measure(case, corpus, rows, progress)
        corpus["prepared_bytes"] = sum(path.stat().st_size for path in Path(name).rglob("*.bin"))
    return {"corpus": corpus, "rows": rows}


def _measure(
    case: CorpusCase, corpus: dict[str, Any], rows: list[dict[str, Any]], progress: Progress
) -> None:
    with _row(rows, "prepare") as row, Worker(CorpusReader, case) as worker:
        progress("preparing")
        answer = worker.call("prepare")
        corpus |= {name: answer.pop(name) for name in ("vocabulary", "tokens")}
        row |= {**answer, "tokens_per_s": sum(corpus["tokens"].values()) / answer["seconds"]}
    with Worker(CorpusReader, case) as worker:
        with _row(rows, "open") as row:
            progress("opening")
            row |= worker.call("open")
        with _row(rows, "one pass") as row:
            progress("one pass over all windows")
            answer = worker.call("one_pass")
            row |= {**answer, "tokens_per_s": answer["tokens"] / answer["seconds"]}
            progress("one pass over all windows, for comparison")
            expected = worker.call("from_middle")
            state = expected.pop("state")
    with _row(rows, "enter in the middle") as row, Worker(CorpusReader, case) as worker:
        progress("entering in the middle of the epoch")
        worker.call("open")
        answer = worker.call("resume", state)
        found = {name: answer.pop(name) for name in expected}
        row |= {**answer, "windows": found["windows"], "equal": found == expected}
        if found != expected:
            row["error"] = f"windows from {state['done']:,} on differ from the uninterrupted pass"


@contextlib.contextmanager
def _row(rows: list[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    """A new row; an error of a worker is recorded in it."""
    row: dict[str, Any] = {"row": name}
    rows.append(row)
    try:
        yield row
    except WorkerError as error:
        row["error"] = str(error)
        raise


def _seconds(row: Row) -> str:
    return number("seconds", ",.3g" if row.get("seconds", 0) < 100 else ",.0f")(row)


COLUMNS = {
    "step": text("row"),
    "windows": number("windows"),
    "seconds": _seconds,
    "tokens/s": number("tokens_per_s"),
    "peak, MB": number("peak_mb", ",.1f"),
    "without mapped files, MB": number("own_mb", ",.1f"),
}


def note(result: Result) -> str:
    """What was read, and how."""
    corpus = result["corpus"]
    found = (
        f"{corpus['batch_size']} streams, windows of {corpus['bptt']}. Made-up text of "
        f"{corpus['text_bytes'] / MB:,.0f} MB, {corpus['prepared_bytes'] / MB:,.0f} MB as ids"
    )
    if "tokens" in corpus:
        tokens = ", ".join(f"{count:,} ({split})" for split, count in corpus["tokens"].items())
        found += f": {tokens} tokens, {corpus['vocabulary']:,} distinct words, by Zipf's law"
    found += (
        ". Each figure once; the files had just been written, so the system has them in memory. "
        "Peak: above the process before; it counts the pages of mapped files, which the system "
        "takes back when it needs them."
    )
    compared = [row for row in result["rows"] if row.get("equal")]
    if compared:
        found += (
            " Entered in the middle: seconds from the opened text to the first window; the "
            f"{compared[0]['windows']:,} windows from there to the end of the epoch were compared "
            "with an uninterrupted pass and are equal."
        )
    return found


MEASUREMENT = Measurement(kind="corpus", measure=measure, tables=one_table(COLUMNS), note=note)
