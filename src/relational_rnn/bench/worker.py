"""A case in a process of its own: for its memory, and so that the others outlive its end.

The process reads questions, a line of JSON each, and answers each with a line of JSON.
"""

import dataclasses
import json
import subprocess
import sys
from typing import Any

from ..allocator import keep_freed_memory
from .rows import Case
from .subject import QUESTIONS, Subject
from .timing import one_line


class Worker:
    """The process, seen from outside; a context manager that ends it.

    Args:
        case: what it measures.
    """

    def __init__(self, case: Case) -> None:
        arguments = json.dumps(dataclasses.asdict(case))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, question: str) -> float:
        """The answer to one of `QUESTIONS`.

        Raises:
            RowError: with what went wrong in the process, or with how it ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RowError(f"its process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RowError(answer["error"])
        value: float = answer["value"]
        return value


class RowError(RuntimeError):
    """What a row has instead of figures."""

    def __str__(self) -> str:
        return str(self.args[0])


def serve() -> None:
    """Answer until nobody asks."""
    keep_freed_memory()  # as the command does that trains
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    subject = Subject(Case(**json.loads(sys.argv[1])))
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question not in QUESTIONS:
                raise ValueError(f"{question!r} is none of {QUESTIONS}")
            answer: dict[str, Any] = {"value": getattr(subject, question)()}
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
