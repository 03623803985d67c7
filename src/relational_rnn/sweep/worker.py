"""The process that trains a trial, from both sides.

The runner starts it and watches it as a :class:`TrialProcess`. It runs
``python -m relational_rnn.sweep.worker FOLDER``, which trains the run described by the folder's
config.yaml, from its last checkpoint if there is one. It exits with ``FULL_DISK`` or as ``rrnn
train`` does.
"""

import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import FullDiskError, UserError
from ..files import FULL
from ..printable import printable
from ..runs import Run
from ..signals import Interrupted

# -P: a module in the working folder must not shadow one of ours.
COMMAND = (sys.executable, "-P", "-m", "relational_rnn.sweep.worker")
LAUNCHER = re.compile(
    "SLURM_.*|.*RANK|(LOCAL_|GROUP_)?WORLD_SIZE|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
)
"""Variables of a launcher of several processes, which would make a trial one of them."""

FULL_DISK = 3
"""Exit code where the disk is full."""

STOPPED = (-signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes after SIGTERM, before and after the process could catch it."""


class TrialProcess:
    """A trial that is being trained; its output goes to trial.log in its folder.

    Args:
        run: the folder, with its config.yaml.
        descriptor: of the trial's lock, which the process holds as long as it lives.
        environment: variables added to the environment of this process.
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
                start_new_session=True,  # Ctrl-C reaches the sweep, which stops its trials
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    @property
    def stopped(self) -> bool:
        """Whether it ended on SIGTERM, with a checkpoint to resume from."""
        return self.code in STOPPED

    @property
    def killed(self) -> bool:
        """Whether another signal ended it, or a fault that Python cannot catch."""
        return self.code is not None and self.code < 0 and not self.stopped

    def validations(self, measure: str) -> list[tuple[int, float]]:
        """Step and result of every validation so far."""
        from ..report.record import read  # not in the trial's own process, which draws nothing

        try:
            size = self.run.metrics_path.stat().st_size
            if size != self._size:
                steps, values = read(self.run.folder).curve("step", f"valid_{measure}")
                self._found = [(round(x), value) for x, value in zip(steps, values, strict=True)]
                self._size = size
        except (OSError, UserError):
            return []  # no complete row yet
        return self._found

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it at once, with all processes that it started."""
        if self.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until it ends, for at most this many seconds."""
        try:
            self._process.wait(None if math.isinf(seconds) else seconds)
        except subprocess.TimeoutExpired:
            return

    def close(self) -> None:
        """Close the pipe to a process that has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def error(self) -> str:
        """Why it failed, in one line."""
        if self.killed:
            return f"killed by signal {-(self.code or 0)}, see {self.log}"
        line = _last_line(self.log)
        if self.code == FULL_DISK and not line.startswith("error: "):  # nor was there room for it
            return f"{self.run.folder}: the disk is full; free some space"
        return line.removeprefix("error: ") or f"ended with code {self.code}"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not LAUNCHER.fullmatch(name)}


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def main(folder: str) -> int:
    """Train the run in a folder; print a user error as one line."""
    from ..allocator import keep_freed_memory

    # Nothing is written to stdin: it closes when the sweep's process ends, however it ends.
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    keep_freed_memory()
    run = Run(Path(folder))
    try:
        from ..train import fit

        result = fit(run.config, run=run, resume=True)
    except UserError as error:
        full = isinstance(error, FullDiskError)
        with suppress(OSError):  # its log may be on the same disk
            print(f"error: {printable(error)}", file=sys.stderr)
        if full:
            _discard_output()
        return FULL_DISK if full else 2
    except OSError as error:  # of its log
        if error.errno not in FULL:
            raise
        _discard_output()
        return FULL_DISK
    except Interrupted as interrupt:
        return 128 + interrupt.number
    return 128 + result.stopped_by if result.stopped_by else 0


def _discard_output() -> None:
    """Discard what could not be written to the log, which would fail again at exit."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _stop_with_parent() -> None:
    while os.read(0, 1024):  # not through sys.stdin, whose lock would be held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
