"""Runs the command in processes that start quickly: forks of one that has imported everything.

Reads requests from stdin, one JSON object per line, and answers with {"code": ..., "stdout": "...",
"stderr": "..."}; the code of a process ended by a signal is negative. A request has "argv", "cwd",
"processes" (how many train together) and "at", a list of events in the first process. An event is a
moment, its count, and what happens then: a signal, or an error of the file system.

With a request as its argument, it runs this request in its own process, which may start others.
"""

import errno
import json
import os
import signal
import socket
import stat
import sys
import traceback
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import TextIO

import torch

from relational_rnn.cli import main
from relational_rnn.processes import is_first_process
from relational_rnn.train.loop import Loop
from relational_rnn.train.text import TextTraining
from relational_rnn.train.training_task import TextTask


def happen(moment: str, count: int, what: int | str) -> None:
    """Let an event happen when a moment comes for the count-th time."""
    owner, name = {
        "step": (Loop, "on_train_batch_start"),
        "validation": (TextTraining, "validate"),
        "evaluation": (TextTask, "scores"),
        "replacement": (os, "replace"),
        "sync": (os, "fsync"),
    }[moment]
    original = getattr(owner, name)
    left = count

    def watched(*args, **kwargs):
        nonlocal left
        if moment == "sync" and stat.S_ISDIR(os.fstat(args[0]).st_mode):
            return original(*args)  # counted are files, not folders
        left -= 1
        if not left and isinstance(what, int):
            os.kill(os.getpid(), what)
        if not left and isinstance(what, str):
            raise OSError(getattr(errno, what), os.strerror(getattr(errno, what)))
        return original(*args, **kwargs)

    setattr(owner, name, watched)


def perform(request: dict) -> int:
    """Run the command of a request in this process."""
    os.chdir(request["cwd"])
    if is_first_process():
        for event in request["at"]:
            happen(*event)
    return main(request["argv"])


def fork(request: dict, stdout: TextIO, stderr: TextIO, environment: dict[str, str]) -> int:
    """Perform a request in a new process, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stdout, sys.stderr = stdout, stderr
        os.environ.update(environment)
        code = perform(request)
    except BaseException:
        traceback.print_exc()
    finally:
        stdout.flush()
        stderr.flush()
        os._exit(code)


def meeting(processes: int) -> Iterator[dict[str, str]]:
    """The environment of each process, as a launcher would set it; none for one alone."""
    if processes == 1:
        yield {}
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for rank in range(processes):
        yield {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "LOCAL_RANK": str(rank),
        }


def serve() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library writes to stdout is no answer
    for line in sys.stdin:
        request = json.loads(line)
        with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
            environments = meeting(request["processes"])
            pids = [fork(request, stdout, stderr, environment) for environment in environments]
            code = os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1])
            for pid in pids[1:]:
                if code:
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            ended = {"code": code}
            for name, file in (("stdout", stdout), ("stderr", stderr)):
                file.seek(0)
                ended[name] = file.read()
        print(json.dumps(ended), file=answers, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        sys.exit(perform(json.loads(sys.argv[1])))
    serve()
