"""Timing: seconds of a piece of work, sampled in interleaved rounds."""

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)


class Spread(NamedTuple):
    """Median and quantiles of several samples."""

    median: float
    p20: float
    p80: float
    samples: int

    @classmethod
    def of(cls, samples: list[float]) -> "Spread":
        """The spread of these samples."""
        p20, median, p80 = np.quantile(samples, (0.2, 0.5, 0.8)).tolist()
        return cls(median, p20, p80, len(samples))

    def fields(self, name: str, unit: str) -> dict[str, Any]:
        """Fields of a result's row, from seconds: ``NAME_UNIT``, its spread, number of samples."""
        scale = {"s": 1.0, "ms": 1e3}[unit]
        return {
            f"{name}_{unit}": self.median * scale,
            f"{name}_spread_{unit}": [self.p20 * scale, self.p80 * scale],
            f"{name}_samples": self.samples,
        }


class Stop(NamedTuple):
    """When a cell has enough samples: at `least` and after `seconds`, or at `most`."""

    seconds: float  # spent on the cell
    least: int  # samples, however long they take
    most: int


ONCE = Stop(seconds=0.0, least=1, most=1)


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds until the result of `work` is there, with garbage collection off."""
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
    """Wait for all work queued on the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def interleave(
    cells: Mapping[Key, Callable[[], float]],
    stop: Stop,
    *,
    progress: Callable[[Key], None] = lambda key: None,
) -> tuple[dict[Key, Spread], dict[Key, str]]:
    """Sample every cell once a round (a, b, c, a, b, c, ...) until each has enough samples.

    A slow minute of the machine then slows a round of all cells, not all samples of one.

    Args:
        cells: functions that return one sample, in seconds.
        stop: when a cell drops out of the rounds.
        progress: called with each cell before it is sampled.

    Returns:
        Spreads by cell, and error messages by cell for those that raised an exception.
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
    spreads = {key: Spread.of(values) for key, values in samples.items() if key not in errors}
    return spreads, errors


def one_line(error: BaseException) -> str:
    """An error as the cell of a table."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")[:200]
