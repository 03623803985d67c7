"""A trial, in a process of its own: ``python -m relational_rnn.sweep.trial FOLDER``.

It trains the run that the folder's config.yaml describes, from its last checkpoint if there is
one, and ends with the exit code of ``rrnn train``.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from ..allocator import keep_freed_memory
from ..errors import UserError
from ..runs import Run
from ..signals import Interrupted


def main(folder: str) -> int:
    """Train, and tell a mistake in one line."""
    # Nobody writes to stdin: it ends when the process that started this one does, however it does.
    threading.Thread(target=_stop_when_left_alone, daemon=True).start()
    keep_freed_memory()
    run = Run(Path(folder))
    try:
        from ..train import fit

        result = fit(run.config, run=run, resume=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as interrupt:
        return 128 + interrupt.number
    return 128 + result.stopped_by if result.stopped_by else 0


def _stop_when_left_alone() -> None:
    while os.read(0, 1024):  # not through sys.stdin, whose lock would be held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
