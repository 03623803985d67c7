"""How far two orders agree."""

from collections.abc import Sequence

import numpy as np


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 1 for the lowest; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    found: list[float] = ((2 * last - sizes + 1) / 2)[group].tolist()
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho, the correlation of the ranks (Spearman 1904).

    None if there are less than two pairs, or one side knows no order at all.
    """
    if len(first) < 2:
        return None
    a, b = (np.asarray(ranks(values)) - (len(values) + 1) / 2 for values in (first, second))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else None
