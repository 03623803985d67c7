"""Give each thread its own part of the batch, and no thread a part of an operation.

A tiny operation that is split over cores waits at a barrier; on a busy machine that wait is most of
the time. Parts of the batch never wait for each other until the sequence is done.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import torch

ROWS_PER_THREAD = 8  # fewer rows of the batch are not worth a thread

Part = TypeVar("Part")
Result = TypeVar("Result")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="relational-memory")
    together = Barrier(threads)

    def begin(_: int) -> None:
        together.wait()  # so that every thread of the pool takes exactly one of these
        torch.set_num_threads(1)
        together.wait()

    list(pool.map(begin, range(threads)))
    torch.set_num_threads(threads)  # each thread's own setting is also the default of new threads
    return pool


def split_batch(batch: int, device: torch.device) -> list[slice]:
    """Each thread's part of the batch; a single part off the CPU."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    parts = max(1, min(threads, batch // ROWS_PER_THREAD))
    bounds = [batch * i // parts for i in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def run(work: Callable[[Part], Result], parts: list[Part]) -> list[Result]:
    """Do ``work(part)`` for each part, in threads if there are several; no gradients."""

    def alone(part: Part) -> Result:
        with torch.no_grad():
            return work(part)

    if len(parts) == 1:
        return [alone(parts[0])]
    return list(_pool(torch.get_num_threads()).map(alone, parts))
