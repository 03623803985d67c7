"""A subject in a process of its own: for its memory, and so that the others outlive its end.

The process reads questions, a line of JSON each, and answers each with a line of JSON.
"""

import dataclasses
import json
import subprocess
import sys
from importlib import import_module
from typing import Any

from ..allocator import keep_freed_memory
from .timing import one_line


class Worker:
    """The process, seen from outside; a context manager that ends it.

    Args:
        subject: class of what is measured; its methods are the questions.
        case: what a subject is made from: a dataclass of plain values.
    """

    def __init__(self, subject: type, case: Any) -> None:
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in (subject, type(case))]
        arguments = json.dumps(dataclasses.asdict(case))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *names, arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, question: str, *arguments: Any) -> Any:
        """What this method of the subject returns: plain values.

        Raises:
            RowError: with what went wrong in the process, or with how it ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps([question, *arguments]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RowError(f"its process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RowError(answer["error"])
        return answer["value"]


class RowError(RuntimeError):
    """What a row has instead of figures."""

    def __str__(self) -> str:
        return str(self.args[0])


def serve() -> None:
    """Answer until nobody asks."""
    keep_freed_memory()  # as the command does that trains
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    make_subject, make_case = (_find(name) for name in sys.argv[1:3])
    subject = make_subject(make_case(**json.loads(sys.argv[3])))
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        try:
            answer: dict[str, Any] = {"value": getattr(subject, question)(*arguments)}
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _find(name: str) -> Any:
    """The class of this full name."""
    module, _, own = name.rpartition(".")
    return getattr(import_module(module), own)


if __name__ == "__main__":
    serve()
