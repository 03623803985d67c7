"""The trials of a sweep: which is next, who is at it, and what came of it.

A trial that is begun is RUNNING in the database. Whoever trains it holds the lock in its folder, so
that a trial that is RUNNING while its lock is free was left by a process that died, and is gone on
with. Processes elsewhere, whose locks cannot be seen, write a pulse into the database instead.
"""

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import UserError
from ..files import write_text
from ..lock import Lock
from ..report.sweep import Outcome
from .claim import Claim
from .plan import Plan
from .sampling import sampler_of, suggest, value_of
from .storage import open_storage, open_study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {
    "COMPLETE": "finished",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
GRACE_SECONDS = 180.0
"""How long a process elsewhere may go without a pulse before it is taken for dead."""

SETTLE_SECONDS = 2.0
"""How long a claim to the trial of a dead process waits for another's claim."""


class Trials:
    """The trials of one sweep, in its folder and its database.

    Args:
        plan: of the sweep.
        folder: for the runs, made if need be.
        storage: address of the database; None: a file in the folder.

    Raises:
        UserError: the folder or the database cannot be used, or belongs to another plan.
    """

    def __init__(self, plan: Plan, folder: Path, storage: str | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.place = f"{socket.gethostname()}:{folder.resolve()}"
        self._own_file = storage is None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
        if (folder / "config.yaml").exists():
            raise UserError(f"{folder}: is a run, not a sweep; choose another --run")
        self._gate = Lock(folder / ".lock")
        with self._gate:
            self._storage = open_storage(storage or f"sqlite:///{folder / 'study.db'}")
            self._study = open_study(self._storage, self._name(), plan)
            if not (folder / "sweep.yaml").exists():
                text = yaml.safe_dump(plan.as_plain(), sort_keys=False, allow_unicode=True)
                write_text(folder / "sweep.yaml", text)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._pulses: dict[int, tuple[Any, float]] = {}

    def claim(self) -> Claim | None:
        """A trial that was left, or a new one; None if there is none to be had now."""
        with self._gate:
            for left in self._all("RUNNING"):
                if claim := self._take_over(left):
                    return claim
            if len(self._all()) >= self.plan.trials:
                return None
            number = self._study.ask().number
            claim = self._open(number, resumed=False)
            if claim is not None and number >= self.plan.trials:
                claim.fail("one too many: two machines began a trial at the same moment")
                return None
            return claim

    @property
    def underway(self) -> list[int]:
        """Numbers of the trials that somebody trains, or left."""
        return [trial.number for trial in self._all("RUNNING")]

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.underway and len(self._all()) >= self.plan.trials

    def outcomes(self) -> list[Outcome]:
        """What has become of each trial."""
        return [self._outcome(trial) for trial in self._all()]

    def _name(self) -> str:
        """The study's name: the folder's, which may have been another when it was made."""
        import optuna

        name = self.folder.resolve().name
        if self._own_file:
            return next(iter(optuna.get_all_study_names(self._storage)), name)
        return name

    def _all(self, *states: str) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        wanted = tuple(TrialState[state] for state in states) or None
        return self._study.get_trials(deepcopy=False, states=wanted)

    def _take_over(self, left: "FrozenTrial") -> Claim | None:
        """Claim a trial that is RUNNING, if nobody is at it any more."""
        place = left.user_attrs.get("place")
        if self._own_file or place == self.place:
            return self._open(left.number, resumed=True)
        pulse = left.user_attrs.get("pulse"), place
        before, since = self._pulses.get(left.number, (None, 0.0))
        if pulse != before:
            # The age of a pulse is taken from this machine's clock alone.
            self._pulses[left.number] = pulse, time.monotonic()
            return None
        if time.monotonic() - since < GRACE_SECONDS:
            return None
        claim = self._open(left.number, resumed=True)
        time.sleep(SETTLE_SECONDS)
        if claim is not None and self._frozen(left.number).user_attrs["place"] != self.place:
            claim.leave()
            return None
        return claim

    def _open(self, number: int, *, resumed: bool) -> Claim | None:
        import optuna

        folder = self.folder / f"trial-{number:04}"
        folder.mkdir(exist_ok=True)
        lock = Lock(folder / ".lock")
        if not lock.take():
            return None
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            lock.release()  # it ended between the look at the database and the lock
            return None
        self._study.sampler = sampler_of(self.plan, number)
        trial = optuna.trial.Trial(self._study, self._id(number))
        # Values that the trial has already are given again.
        values = {
            name: suggest(trial, name, dimension) for name, dimension in self.plan.space.items()
        }
        if trial.user_attrs.get("place") != self.place:
            trial.set_user_attr("place", self.place)
        return Claim(number, values, folder, lock, resumed, trial, len(frozen.intermediate_values))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _frozen(self, number: int) -> "FrozenTrial":
        return self._storage.get_trial(self._id(number))

    def _outcome(self, trial: "FrozenTrial") -> Outcome:
        facts = trial.user_attrs
        rows = self.plan.published[trial.number : trial.number + 1]
        return Outcome(
            number=trial.number,
            state=STATES[trial.state.name],
            parameters={
                name: value_of(dimension, trial.params[name])
                for name, dimension in self.plan.space.items()
                if name in trial.params
            },
            value=trial.value if trial.state.name in ("COMPLETE", "PRUNED") else None,
            test=facts.get("test"),
            weights=facts.get("weights"),
            seconds=facts.get("seconds"),
            published=next(iter(rows), None),
            error=facts.get("error"),
        )
