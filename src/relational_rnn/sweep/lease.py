"""A lease on a trial: this process trains it, shows that it is alive, and reports the results."""

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

HEARTBEAT_SECONDS = 20.0


@dataclass
class Lease:
    """A trial that this process is to train.

    Attributes:
        number: of the trial.
        parameters: the values of the searched fields.
        folder: of its run.
        lock: held until :meth:`release`.
        resumed: whether another process began the trial.
        trial: the trial in Optuna's study.
        reported: number of validations that the pruner has received.
        beaten: time of the last heartbeat, from ``time.monotonic``.
    """

    number: int
    parameters: dict[str, Any]
    folder: Path
    lock: Lock
    resumed: bool
    trial: "Trial"
    reported: int = 0
    beaten: float = 0.0

    @property
    def name(self) -> str:
        """What the trial is called in messages."""
        return f"trial {self.number}"

    def heartbeat(self) -> None:
        """Show in the database that this process is alive; call it often."""
        if time.monotonic() - self.beaten >= HEARTBEAT_SECONDS:
            self.beaten = time.monotonic()
            with _unless_finished():
                self.trial.set_user_attr("pulse", uuid.uuid4().hex)

    def report(self, values: Sequence[float]) -> bool:
        """Give all validations so far to the pruner; return whether to prune the trial."""
        new = values[self.reported :]
        with _unless_finished():
            for value in new:
                self.reported += 1
                self.trial.report(value, self.reported)
            return bool(new) and self.trial.should_prune()
        return False

    def count_kill(self) -> int:
        """Record that the trial's process was killed; return how many times it has been."""
        kills = int(self.trial.user_attrs.get("kills", 0)) + 1
        with _unless_finished():
            self.trial.set_user_attr("kills", kills)
        return kills

    def finish(self, value: float, facts: dict[str, Any]) -> None:
        """End the trial with its result; ``facts`` are stored with it."""
        self._end("COMPLETE", facts, value)

    def prune(self) -> None:
        """End the trial as pruned."""
        self._end("PRUNED", {})

    def fail(self, error: str) -> None:
        """End the trial as failed."""
        self._end("FAIL", {"error": error})

    def release(self) -> None:
        """Release the trial unfinished, so that any process may resume it."""
        self.lock.release()

    def _end(self, state: str, facts: dict[str, Any], value: float | None = None) -> None:
        from optuna.trial import TrialState

        with _unless_finished():
            for name, fact in facts.items():
                self.trial.set_user_attr(name, fact)
            self.trial.study.tell(self.trial, value, state=TrialState[state], skip_if_finished=True)
        self.release()


@contextmanager
def _unless_finished() -> Iterator[None]:
    """Ignore updates of a trial that another machine has taken over and finished."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield
