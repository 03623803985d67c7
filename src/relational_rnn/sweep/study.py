"""The trials of a sweep: which one is next, which process trains it, and its result.

A trial that has begun is RUNNING in the database. The process that trains it holds the lock in its
folder. A trial that is RUNNING while its lock is free was left by a process that died, and is
resumed. Locks on other machines cannot be seen: their processes write a heartbeat to the database.
"""

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.yaml_files import as_yaml
from ..errors import UserError
from ..files import reporting_errors, write_text
from ..lock import Lock
from ..report.outcomes import Axis, Outcome, Outcomes
from .lease import Lease
from .plan import Plan
from .space import Choices
from .storage import open_file, open_study, open_url, sampler_of

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
"""How long a heartbeat from another machine may stay the same before its process counts as dead."""

SETTLE_SECONDS = 2.0
"""How long to wait after taking over a trial, in case another process did the same."""


class Trials:
    """The trials of one sweep, in its folder and its database.

    Args:
        plan: of the sweep.
        folder: for the runs, created if missing.
        storage: URL of the database; None for a file in the folder.

    Raises:
        UserError: the folder or the database cannot be used, or it belongs to another plan.
    """

    def __init__(self, plan: Plan, folder: Path, storage: str | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.place = f"{socket.gethostname()}:{folder.resolve()}"
        self._own_file = storage is None
        if (folder / "config.yaml").exists():
            raise UserError(f"{folder}: is a run, not a sweep; choose another --run")
        if storage is not None:
            self._storage = open_url(storage)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be created: {error.strerror}") from error
        self._gate = Lock(folder / ".lock")
        with self._gate:
            if storage is None:
                self._storage = open_file(folder / "study.db")
            try:
                self._study = open_study(self._storage, self._study_name(), plan)
            except UserError:
                self._remove_unused()
                raise
            if not (folder / "sweep.yaml").exists():
                write_text(folder / "sweep.yaml", as_yaml(plan.as_plain()))
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._heartbeats: dict[int, tuple[Any, float]] = {}

    def acquire(self) -> Lease | None:
        """Lease a trial to resume, or a new one; None if none is available now."""
        with self._gate:
            for left in self._all("RUNNING"):
                if lease := self._take_over(left):
                    return lease
            if len(self._all()) >= self.plan.trials:
                return None
            number = self._study.ask().number
            lease = self._open(number, resumed=False)
            if lease is not None and number >= self.plan.trials:
                lease.fail("one too many: two machines began a trial at the same moment")
                return None
            return lease

    @property
    def underway(self) -> list[str]:
        """Names of the trials that have begun and not ended."""
        return [f"trial {trial.number}" for trial in self._all("RUNNING")]

    @property
    def over(self) -> bool:
        """Whether all trials have ended."""
        return not self.underway and len(self._all()) >= self.plan.trials

    def outcomes(self) -> list[Outcome]:
        """State and results of each trial."""
        return [self._outcome(trial) for trial in self._all()]

    @property
    def name(self) -> str:
        """The folder's name; bytes that are not UTF-8 are written as in ``\\xff``."""
        name = os.fsencode(self.folder.resolve().name)
        return name.decode("utf-8", errors="backslashreplace")

    def ranked(self) -> Outcomes:
        """All trials, the best first, for the report."""
        return Outcomes(
            name=self.name,
            measure=self.plan.measure,
            lower_is_better=self.plan.lower_is_better,
            trials=self.outcomes(),
            axes=_axes(self.plan),
        )

    def _study_name(self) -> str:
        """The study's name: the folder's name when the study was created."""
        import optuna

        if self._own_file:
            return next(iter(optuna.get_all_study_names(self._storage)), self.name)
        return self.name

    def _remove_unused(self) -> None:
        """Remove the folder if it has nothing but the lock."""
        if [path.name for path in self.folder.iterdir()] == [self._gate.path.name]:
            self._gate.path.unlink()
            self.folder.rmdir()

    def _all(self, *states: str) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        wanted = tuple(TrialState[state] for state in states) or None
        return self._study.get_trials(deepcopy=False, states=wanted)

    def _take_over(self, left: "FrozenTrial") -> Lease | None:
        """Lease a trial that is RUNNING, if its process has died."""
        place = left.user_attrs.get("place")
        if self._own_file or place == self.place:
            return self._open(left.number, resumed=True)
        heartbeat = left.user_attrs.get("pulse"), place
        before, since = self._heartbeats.get(left.number, (None, 0.0))
        if heartbeat != before:
            # The age of a heartbeat is measured by this machine's clock alone.
            self._heartbeats[left.number] = heartbeat, time.monotonic()
            return None
        if time.monotonic() - since < GRACE_SECONDS:
            return None
        lease = self._open(left.number, resumed=True)
        time.sleep(SETTLE_SECONDS)
        if lease is not None and self._frozen(left.number).user_attrs["place"] != self.place:
            lease.release()
            return None
        return lease

    def _open(self, number: int, *, resumed: bool) -> Lease | None:
        import optuna

        folder = self.folder / f"trial-{number:04}"
        with reporting_errors(folder):
            folder.mkdir(exist_ok=True)
        lock = Lock(folder / ".lock")
        if not lock.take():
            return None
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            lock.release()  # it ended after it was read from the database
            return None
        self._study.sampler = sampler_of(self.plan, number)
        trial = optuna.trial.Trial(self._study, self._id(number))
        # A resumed trial gets its stored values.
        values = {
            name: dimension.suggest(trial, name) for name, dimension in self.plan.space.items()
        }
        if trial.user_attrs.get("place") != self.place:
            trial.set_user_attr("place", self.place)
        return Lease(number, values, folder, lock, resumed, trial, len(frozen.intermediate_values))

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
                name: dimension.from_stored(trial.params[name])
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


def _axes(plan: Plan) -> list[Axis]:
    """An axis for each field that differs between trials."""
    found = []
    for name, space in plan.space.items():
        if not isinstance(space, Choices):
            found.append(Axis(name, low=space.low, high=space.high, log=space.log))
        elif len(space.values) > 1:
            found.append(Axis.of_choices(name, space.values))
    return found
