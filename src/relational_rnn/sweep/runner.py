"""The loop of a sweep or a comparison: start trials, watch them, record results until all ended."""

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..config import TaskConfig
from ..errors import FullDiskError, UserError
from ..files import reporting_errors
from ..lock import Lock
from ..registry import Metric
from ..report.formatting import field_value, percent, quality
from ..runs import Run
from ..signals import Stopper
from ..threads import most_threads
from .worker import FULL_DISK, TrialProcess

POLL_SECONDS = 0.5
STOP_SECONDS = 120.0
"""How long a trial that is asked to stop may need for its step and its checkpoint."""

MOST_KILLS = 2
"""A trial that has been killed this many times fails: it may need more memory than there is."""


class Plan(Protocol):
    """What the trials are, such as :class:`.plan.Plan`."""

    @property
    def measure(self) -> Metric:
        """What is compared, on the validation data."""

    def config(self, number: int, parameters: Mapping[str, Any]) -> TaskConfig:
        """The configuration of a trial."""


class Lease(Protocol):
    """A trial that this process is to train, such as :class:`.lease.Lease`."""

    number: int
    parameters: dict[str, Any]
    folder: Path
    lock: Lock
    resumed: bool

    @property
    def name(self) -> str:
        """What the trial is called in messages."""

    def heartbeat(self) -> None:
        """Show that this process is alive."""

    def report(self, values: Sequence[float]) -> bool:
        """Report all validations so far; return whether to prune the trial."""

    def count_kill(self) -> int:
        """Record that the trial's process was killed; return how many times it has been."""

    def finish(self, value: float, facts: dict[str, Any]) -> None:
        """End the trial with its result."""

    def prune(self) -> None:
        """End the trial as pruned."""

    def fail(self, error: str) -> None:
        """End the trial as failed."""

    def release(self) -> None:
        """Release the trial unfinished."""


class Trials(Protocol):
    """The trials to train: :class:`.study.Trials` or ``compare.queue.Queue``."""

    @property
    def plan(self) -> Plan:
        """What the trials are."""

    def acquire(self) -> Lease | None:
        """Lease a trial to start or to resume; None if none is available now."""

    @property
    def underway(self) -> list[str]:
        """Names of trials that have not ended."""

    @property
    def over(self) -> bool:
        """Whether all trials have ended."""


@dataclass
class Training:
    """A trial that this process trains."""

    lease: Lease
    process: TrialProcess
    seen: int = 0
    pruned: bool = False


class Runner:
    """Trains trials, several at a time.

    Args:
        trials: of a sweep or a comparison.
        workers: number of trials trained at once, each in its own process.
        say: called with one line of text for each event.
    """

    def __init__(self, trials: Trials, *, workers: int, say: Callable[[str], None]) -> None:
        self.trials = trials
        self.workers = workers
        self.say = say
        self.stopper = Stopper()
        self._training: list[Training] = []

    def run(self) -> int:
        """Train until no trial is left; return the number of the signal that stopped it, or 0.

        Raises:
            Interrupted: a second signal; the processes of the trials are killed.
            FullDiskError: like a signal, a full disk stops all trials.
        """
        announced, full = False, None
        try:
            with self.stopper:
                self.stopper.defer(_acknowledge)
                while not self.stopper.caught:
                    try:
                        for training in list(self._training):
                            self._check(training)
                        self._start()
                    except FullDiskError as error:
                        full = error
                        break
                    if not self._training and self.trials.over:
                        break
                    if not self._training and not announced:
                        announced = True
                        self.say(f"waiting for other processes: {', '.join(self.trials.underway)}")
                    time.sleep(POLL_SECONDS)
                self._stop()
        finally:
            for training in self._training:
                training.process.kill()
                training.process.wait()
                training.process.close()
                training.lease.release()
        if full is not None:
            raise FullDiskError(f"{full}; then give the same command again")
        return self.stopper.caught

    def _start(self) -> None:
        """Start trials until all workers are busy or no trial is available."""
        while len(self._training) < self.workers and not self.stopper.caught:
            lease = self.trials.acquire()
            if lease is None:
                return
            values = " · ".join(f"{name} {field_value(x)}" for name, x in lease.parameters.items())
            verb = "resumed" if lease.resumed else "started"
            self.say(f"{lease.name} {verb}: {values} -> {lease.folder}")
            try:
                run = Run(lease.folder)
                config = self._config(lease, run)
                run.save_config(config)
                with reporting_errors(lease.folder):
                    process = TrialProcess(
                        run,
                        descriptor=lease.lock.descriptor,
                        environment=_environment(config, self.workers),
                    )
            except FullDiskError:
                lease.release()
                raise
            except UserError as error:
                self._fail(lease, str(error))
                continue
            seen = len(process.validations(self.trials.plan.measure)) if lease.resumed else 0
            self._training.append(Training(lease, process, seen))

    def _config(self, lease: Lease, run: Run) -> TaskConfig:
        """The configuration of a trial; a resumed one keeps its number of threads."""
        config = self.trials.plan.config(lease.number, lease.parameters)
        if lease.resumed and config.threads is None and run.config_path.is_file():
            config = replace(config, threads=run.config.threads)
        return config

    def _check(self, training: Training) -> None:
        """Report a trial's new validations and, if its process has ended, its result."""
        lease, process, measure = training.lease, training.process, self.trials.plan.measure
        lease.heartbeat()
        code = process.code
        found = process.validations(measure)
        for step, value in found[training.seen :]:
            self.say(f"{lease.name}: step {step} · valid {_result(measure, value)}")
        training.seen = max(training.seen, len(found))
        unpromising = lease.report([value for _, value in found])
        if code is None:
            if unpromising and not training.pruned:
                training.pruned = True
                process.stop()
            return
        self._training.remove(training)
        process.close()
        if code == 0:
            self._finish(lease, process.run)
        elif process.stopped and training.pruned:
            self.say(f"{lease.name} pruned after step {found[-1][0]}")
            lease.prune()
        elif process.stopped or (process.killed and lease.count_kill() < MOST_KILLS):
            self.say(f"{lease.name} was stopped by a signal; it will be resumed")
            lease.release()
        elif code == FULL_DISK:
            lease.release()
            raise FullDiskError(process.error())
        else:
            self._fail(lease, process.error())

    def _finish(self, lease: Lease, run: Run) -> None:
        measure = self.trials.plan.measure
        try:
            summary = run.summary
            found, facts = summary["valid"][measure], _facts(summary, measure)
        except UserError as error:
            self._fail(lease, str(error))
            return
        except (KeyError, TypeError) as error:
            self._fail(lease, f"{run.summary_path}: broken: {error} is missing")
            return
        value = math.inf if found is None else float(found)
        lease.finish(value, facts)
        self.say(f"{lease.name} finished: valid {_result(measure, value)}")

    def _fail(self, lease: Lease, error: str) -> None:
        lease.fail(error)
        self.say(f"{lease.name} failed: {error}")

    def _stop(self) -> None:
        """Have all trials save a checkpoint and end, to be resumed later."""
        for training in self._training:
            training.process.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for training in self._training:
            training.process.wait(max(0.0, deadline - time.monotonic()))
        for training in [each for each in self._training if each.process.code == 0]:
            self._check(training)  # it finished in the meantime


def _facts(summary: Mapping[str, Any], measure: str) -> dict[str, Any]:
    return {
        "test": summary["test"][measure],
        "weights": summary["parameters"],
        "seconds": summary["seconds"],
    }


def _result(measure: Metric, value: float) -> str:
    return f"{measure} {percent(value) if measure == 'accuracy' else quality(value)}"


def _environment(config: TaskConfig, workers: int) -> dict[str, str]:
    """Variables that divide the CPUs among the processes of all trials trained at once."""
    if workers == 1:
        return {}
    return {"OMP_NUM_THREADS": str(most_threads(workers * config.devices))}


def _acknowledge(number: int) -> None:
    again = "; Ctrl-C again to stop now" if number == signal.SIGINT else ""
    print(f"stopping; what is under way is saved{again}", file=sys.stderr, flush=True)
