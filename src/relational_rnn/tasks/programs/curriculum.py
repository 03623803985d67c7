"""Curricula: how difficult the programs of a batch are (Zaremba and Sutskever 2014)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..argument_checks import at_least, one_of

CURRICULA = ("maximum", "naive", "mix", "combined", "grow", "frontier")

_LEARNED = {"grow": 0.5, "frontier": 0.2}  # nats per character; below it, the level is raised
_FRONTIER = 0.8  # share of the samples that "frontier" draws at the current length
_COUNTS = (1, 2, 3, 9)  # how often loops run at most, one level of "frontier" after the other


class Curriculum:
    """Draws literal length and nesting of every sample of a batch, and how often its loops run.

    - ``maximum``: always the maximum (the paper's test).
    - ``naive``: the current level, which starts at length 1, nesting 1.
    - ``mix``: both uniform from 1 to the maximum (the paper's training).
    - ``combined``: both uniform from 1 to the current level.
    - ``grow``: as ``combined``, but with nestings up to the maximum from the start; the length is
      raised when the loss falls below 0.5 nats per character.
    - ``frontier``: as ``grow``, but 80 % of the samples have the current length, the others are
      uniform below it, and the length is raised below 0.2 nats per character. The loss is then
      that of the current length: a digit at chance adds at least log(10) / (length + 1). Loops
      run once, which makes them sums, until the greatest length is learned. Each time the loss is
      below 0.2 again they run more often: up to 2, then 3, then 9 times. Of 2 and 3, half of the
      loops have that count, and the others any up to it.

    ``update(loss)`` raises the level. ``naive`` and ``combined`` follow Sonnet's example: first the
    length is raised to its maximum, then the nesting, one at a time. A level is raised once at
    least ``min_tries`` losses were recorded on it and their mean change, relative to their mean,
    is below ``threshold``. A falling loss always qualifies, so a level is held only while the loss
    rises. Sonnet's ``mix`` draws one length and nesting for a whole batch; here, as in the paper,
    every sample has its own.
    """

    def __init__(
        self,
        kind: str,
        max_length: int,
        max_nesting: int,
        *,
        loops: bool = False,
        threshold: float = 0.05,
        min_tries: int = 10,
    ) -> None:
        self.kind = one_of("curriculum", kind, CURRICULA)
        self.max_length = at_least("length", max_length, 1)
        self.max_nesting = at_least("nesting", max_nesting, 1)
        self.threshold = threshold
        self.min_tries = at_least("min_tries", min_tries, 1)
        self.grows = kind in ("naive", "combined", "grow", "frontier")
        self.length = 1 if self.grows else self.max_length
        self.nesting = 1 if kind in ("naive", "combined") else self.max_nesting
        self.count = _COUNTS[0 if loops and kind == "frontier" else -1]
        self._clear()

    def _clear(self) -> None:
        self._tries = 0
        self._losses: list[float] = []

    def levels(
        self, batch_size: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the literal lengths [B] and nestings [B] of a batch."""
        if self.kind in ("maximum", "naive"):
            return np.full(batch_size, self.length), np.full(batch_size, self.nesting)
        highest = max(1, self.length - 1) if self.kind == "frontier" else self.length
        lengths = generator.integers(1, highest, batch_size, endpoint=True)
        if self.kind == "frontier":
            lengths[generator.random(batch_size) < _FRONTIER] = self.length
        return lengths, generator.integers(1, self.nesting, batch_size, endpoint=True)

    def counts(self, shape: tuple[int, int], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return how often loops run, of the given shape."""
        counts = generator.integers(1, self.count, shape, endpoint=True)
        if self.count < _COUNTS[-1]:
            counts[generator.random(shape) < 0.5] = self.count
        return counts

    def update(self, loss: float) -> bool:
        """Record a training loss on the current level; return whether the level was raised."""
        if not self.grows or not self._is_enough(loss):
            return False
        self._clear()
        may_lengthen = self.length < self.max_length
        may_nest = self.nesting < self.max_nesting
        may_repeat = self.count < _COUNTS[-1]
        if may_lengthen:
            self.length += 1
        elif may_nest:
            self.nesting += 1
        elif may_repeat:
            self.count = _COUNTS[_COUNTS.index(self.count) + 1]
        return may_lengthen or may_nest or may_repeat

    def _is_enough(self, loss: float) -> bool:
        """Whether the level should be raised after a further loss."""
        if self.kind in _LEARNED:
            return loss < _LEARNED[self.kind]
        window = max(min(self.min_tries, 10), 5)
        self._losses = [*self._losses, float(loss)][-window:]
        self._tries += 1
        if self._tries < self.min_tries:
            return False
        change = float(np.mean(np.diff(self._losses))) if len(self._losses) > 1 else 0.0
        mean = float(np.mean(self._losses))
        return mean <= 0 or change < self.threshold * mean

    def state_dict(self) -> dict[str, Any]:
        """Return the level and the losses recorded on it, as plain types."""
        return {
            "length": self.length,
            "nesting": self.nesting,
            "count": self.count,
            "tries": self._tries,
            "losses": list(self._losses),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`."""
        self.length, self.nesting = state["length"], state["nesting"]
        self.count = state.get("count", _COUNTS[-1])  # none in checkpoints of earlier versions
        self._tries, self._losses = state["tries"], list(state["losses"])
