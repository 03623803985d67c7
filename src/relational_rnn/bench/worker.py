"""An object in a process of its own: its memory is measured alone, and a crash stays there.

The process reads method calls from stdin, a line of JSON each, and writes a line of JSON with the
result of each.
"""

import dataclasses
import json
import subprocess
import sys
from importlib import import_module
from typing import Any

from ..allocator import keep_freed_memory
from .timing import one_line

# -P: a module in the working folder must not shadow one of ours.
COMMAND = (sys.executable, "-P", "-m", "relational_rnn.bench.worker")


class Worker:
    """The parent's side of the process; a context manager that ends it.

    Args:
        kind: class of the object, made from one argument.
        argument: that argument: a dataclass of plain values.
    """

    def __init__(self, kind: type, argument: Any) -> None:
        names = [f"{one.__module__}.{one.__qualname__}" for one in (kind, type(argument))]
        values = json.dumps(dataclasses.asdict(argument))
        self._process = subprocess.Popen(
            [*COMMAND, *names, values],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object in the process; arguments and result are plain values.

        Raises:
            WorkerError: the method raised an exception, or the process exited.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"worker process exited with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]


class WorkerError(RuntimeError):
    """A method failed in the worker process, or the process exited."""


def serve() -> None:
    """Answer calls until stdin is closed."""
    keep_freed_memory()  # as the training command does
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    kind, argument = (_class(name) for name in sys.argv[1:3])
    target = kind(argument(**json.loads(sys.argv[3])))
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        try:
            answer: dict[str, Any] = {"value": getattr(target, method)(*arguments)}
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _class(full_name: str) -> Any:
    module, _, name = full_name.rpartition(".")
    return getattr(import_module(module), name)


if __name__ == "__main__":
    serve()
