"""The rows that are attended to and do not ask: the input's, with one block.

They wait for no memory, but normalising them for all steps at once would go through main memory.
Some steps at a time stay in the cache, and are fewer operations than one step at a time.
"""

from typing import NamedTuple

from torch import Tensor

from .gradients import Gradients
from .norms import Moments, Norm, normalise
from .parameters import Options, qkv_parts
from .tape import steps_of

ROWS_AT_A_TIME = 256


class Other(NamedTuple):
    """Those of one step."""

    rows: Tensor  # [B n, F], normalised
    values: Tensor  # [B n, H, V], a view


class Others:
    """Their queries, keys and values after the norm, in any step.

    Args:
        raw: ``[T, B, n, F]`` before the norm, in the product dtype; None if there are no such rows.
        norm: theirs.
        o: the options.
        moments: of the norms, a tuple for every so many steps; those that are missing are added.
    """

    def __init__(self, raw: Tensor | None, norm: Norm, o: Options, moments: list[Moments]) -> None:
        self.raw, self.norm, self.o = None if raw is None else raw.flatten(1, 2), norm, o
        self.room = 1
        if self.raw is not None:
            self.room = max(1, ROWS_AT_A_TIME // max(1, self.raw.shape[1]))
        self.moments = moments
        self._first = -1

    def __getitem__(self, step: int) -> Other | None:
        """Those of a step."""
        if self.raw is None:
            return None
        first = step - step % self.room
        if first != self._first:
            normal, moments = normalise(self.rows(first), self.norm)
            whole = Other(normal, qkv_parts(normal, self.o)[2])
            self._first, self._steps = first, steps_of(whole, len(normal))
            if first // self.room == len(self.moments):  # on the way forward
                self.moments.append(moments)
        return self._steps[step - first]

    def rows(self, first: int) -> Tensor:
        """Before the norm, of the steps that begin with `first`."""
        assert self.raw is not None
        return self.raw[first : first + self.room].to(self.norm.weight.dtype)


class OthersBack(Others):
    """The same on the way back, with their gradients.

    Args:
        raw, norm, o, moments: as above.
        d_raw: gradient of raw, written.
    """

    def __init__(
        self,
        raw: Tensor | None,
        norm: Norm,
        o: Options,
        moments: list[Moments],
        d_raw: Tensor | None,
    ) -> None:
        super().__init__(raw, norm, o, moments)
        self.d_raw = d_raw
        if self.raw is not None:
            # nobody asks their queries: that part of the gradient stays zero
            shape = min(self.room, len(self.raw)), *self.raw.shape[1:]
            self._d = self.raw.new_zeros(shape, dtype=norm.weight.dtype)
            self._d_parts = steps_of([*qkv_parts(self._d, o)], len(self._d))

    def d(self, step: int) -> list[Tensor]:
        """Where the gradients of a step's are to be written: none, or ``[B n, H, K or V]``."""
        return [] if self.raw is None else self._d_parts[step % self.room]

    def end_step(self, step: int, gradients: Gradients) -> None:
        """Go back through the norm where no more of its rows are to come."""
        if self.d_raw is None or step % self.room > 0:
            return
        rows, moments = self.rows(step), self.moments[step // self.room]
        d_rows = gradients.norm("qkv_norm", 0, self.norm, self._d[: len(rows)], rows, moments)
        self.d_raw[step : step + self.room].flatten(1, 2).copy_(d_rows)
