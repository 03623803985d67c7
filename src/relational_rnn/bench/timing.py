"""How time is taken: outside of everything but the work, in interleaved rounds."""

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)


class Spread(NamedTuple):
    """What several measurements of one thing came to."""

    median: float
    p20: float
    p80: float
    samples: int

    @classmethod
    def of(cls, samples: list[float]) -> "Spread":
        """Median and the quantiles on both sides."""
        p20, median, p80 = np.quantile(samples, (0.2, 0.5, 0.8)).tolist()
        return cls(median, p20, p80, len(samples))


class Stop(NamedTuple):
    """When there are enough samples of a cell."""

    seconds: float  # spent on the cell
    least: int  # samples, however long they take
    most: int


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that `work` takes until its result is there, with the garbage collector off."""
    collects = gc.isenabled()
    gc.disable()
    try:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start
    finally:
        if collects:
            gc.enable()


def synchronize(device: str) -> None:
    """Wait for what the device was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def interleave(
    cells: Mapping[Key, Callable[[], float]],
    stop: Stop,
    *,
    progress: Callable[[Key], None] = lambda key: None,
) -> tuple[dict[Key, Spread], dict[Key, str]]:
    """Sample every cell once a round (a, b, c, a, b, c, ...), until each has enough.

    So all cells see the same machine: a slow minute is a slow round, not a slow row.

    Args:
        cells: each gives the seconds of one sample.
        stop: when a cell drops out of the rounds.
        progress: told of each cell before it is sampled.

    Returns:
        The spread of each cell; and for a cell that raised, what it said, instead of figures.
    """
    samples: dict[Key, list[float]] = {key: [] for key in cells}
    errors: dict[Key, str] = {}
    going = list(cells)
    while going:
        for key in list(going):
            progress(key)
            try:
                samples[key].append(cells[key]())
            except Exception as error:
                errors[key] = one_line(error)
                going.remove(key)
                continue
            enough = len(samples[key]) >= stop.least and sum(samples[key]) >= stop.seconds
            if enough or len(samples[key]) >= stop.most:
                going.remove(key)
    good = {key: Spread.of(values) for key, values in samples.items() if key not in errors}
    return good, errors


def one_line(error: BaseException) -> str:
    """An error as a cell of a table can show it."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")[:200]
