"""The process of a trial, seen from outside."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..report.record import read
from ..runs import Run

# -P: a module of the working folder must not take the place of one of ours.
COMMAND = (sys.executable, "-P", "-m", "relational_rnn.sweep.trial")
LAUNCHER = re.compile(
    "SLURM_.*|.*RANK|(LOCAL_|GROUP_)?WORLD_SIZE|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
)
"""Variables that would make a trial one of several processes, if the sweep was started as one."""

STOPPED = (-signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes of a process that was told to stop, before it could catch that and after."""


class TrialProcess:
    """A trial that is being trained; what it prints goes to trial.log in its folder.

    Args:
        run: the folder, with its config.yaml.
        descriptor: of the trial's lock, to be held as long as the process lives.
        environment: variables that it gets beside those of this process.
    """

    def __init__(self, run: Run, *, descriptor: int, environment: Mapping[str, str]) -> None:
        self.run = run
        self.log = run.folder / "trial.log"
        self._found: list[tuple[int, float]] = []
        self._size = -1
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, str(run.folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_environment(), **environment},
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C is for the sweep, which tells its trials to stop
            )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    @property
    def stopped(self) -> bool:
        """Whether it ended because it was told to, with a checkpoint to go on from."""
        return self.code in STOPPED

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside, or by a fault that Python cannot catch."""
        return self.code is not None and self.code < 0 and not self.stopped

    def validations(self, measure: str) -> list[tuple[int, float]]:
        """The steps of all validations so far, and what was measured."""
        try:
            size = self.run.metrics_path.stat().st_size
            if size != self._size:
                steps, values = read(self.run.folder).curve("step", f"valid_{measure}")
                self._found = [(round(x), value) for x, value in zip(steps, values, strict=True)]
                self._size = size
        except (OSError, UserError):
            return []  # no whole row yet
        return self._found

    def stop(self) -> None:
        """Tell it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until it has ended, or for so long."""
        try:
            self._process.wait(None if math.isinf(seconds) else seconds)
        except subprocess.TimeoutExpired:
            return

    def close(self) -> None:
        """Let go of what belongs to a process that has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def what_went_wrong(self) -> str:
        """The reason of its end, in a line."""
        if self.killed:
            return f"killed by signal {-(self.code or 0)}, see {self.log}"
        return _last_line(self.log).removeprefix("error: ") or f"ended with code {self.code}"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not LAUNCHER.fullmatch(name)}


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
