"""The loop of a sweep: begin trials, watch them, tell the study, until all are done."""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..errors import UserError
from ..report.sweep.axes import text
from ..report.table import quality
from ..runs import Run
from .claim import Claim
from .process import TrialProcess
from .study import Trials

LOOK_SECONDS = 0.5
STOP_SECONDS = 120.0
"""How long a trial that is told to stop may take for its step and its checkpoint."""

MOST_KILLS = 2
"""A trial that is killed so often fails: its memory may not be enough."""


@dataclass
class Training:
    """A trial of ours that is being trained."""

    claim: Claim
    process: TrialProcess
    seen: int = 0
    pruned: bool = False


class Conductor:
    """Trains the trials of a sweep, several at a time.

    Args:
        trials: of the sweep.
        workers: how many are trained at once, each in a process of its own.
        say: told what happens, a line at a time.
    """

    def __init__(self, trials: Trials, *, workers: int, say: Callable[[str], None]) -> None:
        self.trials = trials
        self.workers = workers
        self.say = say
        self.stopped_by = 0
        self._training: list[Training] = []
        self._environment = _threads(workers)

    def run(self) -> int:
        """Go on until no trial is left; return the number of the signal that ended it, or 0.

        A second Ctrl-C raises KeyboardInterrupt, and the processes of the trials are killed.
        """
        told = False
        try:
            with self._signals():
                while not self.stopped_by:
                    for training in list(self._training):
                        self._look(training)
                    self._begin()
                    if not self._training and self.trials.over:
                        break
                    if not self._training and not told:
                        told = True
                        numbers = ", ".join(map(str, self.trials.underway))
                        self.say(f"waiting for trials that other processes train: {numbers}")
                    time.sleep(LOOK_SECONDS)
                self._stop()
        finally:
            for training in self._training:
                training.process.kill()
                training.process.wait()
                training.process.close()
                training.claim.leave()
        return self.stopped_by

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def catch(number: int, frame: FrameType | None) -> None:
            if self.stopped_by == signal.SIGINT == number:
                raise KeyboardInterrupt
            self.stopped_by = number

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, catch) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _begin(self) -> None:
        """Take on trials while there are some and there is room."""
        while len(self._training) < self.workers and not self.stopped_by:
            claim = self.trials.claim()
            if claim is None:
                return
            values = " · ".join(f"{name} {text(x)}" for name, x in claim.parameters.items())
            verb = "goes on" if claim.resumed else "begins"
            self.say(f"trial {claim.number} {verb}: {values} -> {claim.folder}")
            try:
                run = Run(claim.folder)
                run.save_config(self.trials.plan.config(claim.number, claim.parameters))
            except UserError as error:
                self._fail(claim, str(error))
                continue
            process = TrialProcess(
                run, descriptor=claim.lock.descriptor, environment=self._environment
            )
            seen = len(process.validations(self.trials.plan.measure)) if claim.resumed else 0
            self._training.append(Training(claim, process, seen))

    def _look(self, training: Training) -> None:
        """See how far a trial is, and what has become of it if its process has ended."""
        claim, process, measure = training.claim, training.process, self.trials.plan.measure
        claim.pulse()
        code = process.code
        found = process.validations(measure)
        for step, value in found[training.seen :]:
            self.say(f"trial {claim.number}: step {step} · valid {measure} {quality(value)}")
        training.seen = max(training.seen, len(found))
        unpromising = claim.report([value for _, value in found])
        if code is None:
            if unpromising and not training.pruned:
                training.pruned = True
                process.stop()
            return
        self._training.remove(training)
        process.close()
        if code == 0:
            self._finish(claim, process.run)
        elif process.stopped and training.pruned:
            self.say(f"trial {claim.number} pruned after step {found[-1][0]}")
            claim.prune()
        elif process.stopped or (process.killed and claim.count_kill() < MOST_KILLS):
            self.say(f"trial {claim.number} was stopped by a signal; it will be gone on with")
            claim.leave()
        else:
            self._fail(claim, process.what_went_wrong())

    def _finish(self, claim: Claim, run: Run) -> None:
        measure = self.trials.plan.measure
        try:
            summary = run.summary
        except UserError as error:
            self._fail(claim, str(error))
            return
        found = summary["valid"][measure]
        value = math.inf if found is None else float(found)
        claim.finish(value, _facts(summary, measure))
        self.say(f"trial {claim.number} finished: valid {measure} {quality(value)}")

    def _fail(self, claim: Claim, error: str) -> None:
        claim.fail(error)
        self.say(f"trial {claim.number} failed: {error}")

    def _stop(self) -> None:
        """Have all trials save and end; each is left to be gone on with."""
        for training in self._training:
            training.process.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for training in self._training:
            training.process.wait(max(0.0, deadline - time.monotonic()))
        for training in [each for each in self._training if each.process.code == 0]:
            self._look(training)  # it came to its end in the meantime


def _facts(summary: Mapping[str, Any], measure: str) -> dict[str, Any]:
    return {
        "test": summary["test"][measure],
        "weights": summary["parameters"],
        "seconds": summary["seconds"],
    }


def _threads(workers: int) -> dict[str, str]:
    """Divide the cores among the trials, unless somebody has done so."""
    if workers == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
