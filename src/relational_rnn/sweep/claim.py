"""A trial in the hands of this process, and what it may tell the study of it."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..lock import Lock

if TYPE_CHECKING:
    from optuna.trial import Trial

PULSE_SECONDS = 20.0


@dataclass
class Claim:
    """A trial that this process is to train.

    Attributes:
        number: of the trial.
        parameters: the values of the fields that are searched.
        folder: of its run.
        lock: held until :meth:`leave`.
        resumed: whether another process was at it before.
        trial: Optuna's own.
        reported: validations that the pruner knows of.
        pulsed: when this process last showed that it was there.
    """

    number: int
    parameters: dict[str, Any]
    folder: Path
    lock: Lock
    resumed: bool
    trial: "Trial"
    reported: int = 0
    pulsed: float = 0.0

    def pulse(self) -> None:
        """Show that somebody is at it; to be called often."""
        if time.monotonic() - self.pulsed >= PULSE_SECONDS:
            self.pulsed = time.monotonic()
            with _unless_finished():
                self.trial.set_user_attr("pulse", uuid.uuid4().hex)

    def report(self, values: Sequence[float]) -> bool:
        """Tell the pruner all validations so far; return whether it wants the trial to end."""
        new = values[self.reported :]
        with _unless_finished():
            for value in new:
                self.reported += 1
                self.trial.report(value, self.reported)
            return bool(new) and self.trial.should_prune()
        return False

    def count_kill(self) -> int:
        """Note that its process was killed; return how often that was so."""
        kills = int(self.trial.user_attrs.get("kills", 0)) + 1
        with _unless_finished():
            self.trial.set_user_attr("kills", kills)
        return kills

    def finish(self, value: float, facts: dict[str, Any]) -> None:
        """It has a result; ``facts`` are kept beside it."""
        self._tell("COMPLETE", facts, value)

    def prune(self) -> None:
        """It was ended early."""
        self._tell("PRUNED", {})

    def fail(self, error: str) -> None:
        """It came to nothing."""
        self._tell("FAIL", {"error": error})

    def leave(self) -> None:
        """Leave it to whoever comes next."""
        self.lock.release()

    def _tell(self, state: str, facts: dict[str, Any], value: float | None = None) -> None:
        from optuna.trial import TrialState

        with _unless_finished():
            for name, fact in facts.items():
                self.trial.set_user_attr(name, fact)
            self.trial.study.tell(self.trial, value, state=TrialState[state], skip_if_finished=True)
        self.leave()


@contextmanager
def _unless_finished() -> Iterator[None]:
    """Nothing can be told of a trial that another machine took over while this one slept."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield
