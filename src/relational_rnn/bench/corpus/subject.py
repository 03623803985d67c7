"""A text prepared as ``rrnn data`` does it, and streamed as training does it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ...tasks.language_modeling import Corpus, open_corpus
from ...tasks.language_modeling.batching import Windows, streams
from ...train.text import Batch, TrainingStream
from .. import memory
from ..timing import timed

READ_MEMORY_EVERY = 64  # windows


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What is prepared and how it is streamed.

    Attributes:
        folder: the text's.
        cache: where the prepared text goes.
        batch_size: streams.
        bptt: tokens of a window.
    """

    folder: str
    cache: str
    batch_size: int
    bptt: int


class Streaming:
    """The text under measurement; every question is a method.

    Args:
        errand: what to do.
    """

    def __init__(self, errand: Errand) -> None:
        self.errand = errand

    def prepare(self) -> dict[str, Any]:
        """Open the text; for the first time, so it is prepared.

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
            seconds, windows, tokens; peak_mb, and own_mb without the pages of mapped files.
        """
        stream, count = self.stream, 0
        start = highest = memory.private()

        def work() -> None:
            nonlocal count, highest
            for number, batch in enumerate(_epoch(stream)):
                count += batch.targets.numel()
                if number % READ_MEMORY_EVERY == 0:
                    highest = max(highest, memory.private())

        figures = _measured(work)
        own = highest - start
        return {**figures, "windows": len(stream.windows), "tokens": count, "own_mb": own}

    def from_middle(self) -> dict[str, Any]:
        """Make all windows of an epoch, without a stop.

        Returns:
            state, the position in the middle of the epoch; windows after it, and their
            fingerprint.
        """
        stream = self.stream
        middle = len(stream.windows) // 2
        batches = _epoch(stream)
        for _ in islice(batches, middle):
            pass
        return {"state": stream.state_dict(), **_fingerprint(batches)}

    def jump(self, state: dict[str, int]) -> dict[str, Any]:
        """Go to a position, as a resumed run does, and on from there to the end of the epoch.

        Returns:
            seconds until the first window is there, and peak_mb; windows, and their fingerprint.
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
        """Training windows from the beginning on."""
        errand, ids = self.errand, self._open().tokens["train"]
        return TrainingStream(Windows(streams(ids, errand.batch_size), bptt=errand.bptt))

    def _open(self) -> Corpus:
        return open_corpus(self.errand.folder, cache_dir=Path(self.errand.cache))


def _epoch(stream: TrainingStream) -> Iterator[Batch]:
    """What is left of the epoch."""
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
    """Seconds of the work, and megabytes at its peak above what the process had before."""
    seconds: list[float] = []
    peak = memory.peak_during(lambda: seconds.append(timed(work)))
    return {"seconds": seconds[0], "peak_mb": peak}
