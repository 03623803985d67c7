"""The command in a process of its own, and a small text to train on."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

FORKS = [sys.executable, str(Path(__file__).with_name("forks.py"))]


@dataclass(frozen=True)
class Ended:
    """How a process of the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout."""
        result: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return result


Command = Callable[..., Ended]
Event = tuple[str, int, int | str]
At = Event | tuple[Event, ...] | None


def request(argv: tuple[Any, ...], cwd: Path, at: At, processes: int = 1) -> str:
    words = [str(word) for word in argv]
    events = [at] if at and isinstance(at[0], str) else list(at or ())
    return json.dumps({"argv": words, "cwd": str(cwd), "at": events, "processes": processes})


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread a process, and a cache of prepared texts of the tests' own."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "OMP_NUM_THREADS": "1", "RRNN_CACHE": cache}


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Iterator[Command]:
    """``command(*argv, cwd=..., at=..., processes=...)``: see forks.py."""
    server = subprocess.Popen(
        FORKS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def run(*argv: Any, cwd: Path, at: At = None, processes: int = 1) -> Ended:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(request(argv, cwd, at, processes) + "\n")
        server.stdin.flush()
        return Ended(**json.loads(server.stdout.readline()))

    with server:
        yield run
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture
def rrnn(command: Command, tmp_path: Path) -> Command:
    """The command in ``tmp_path``."""
    return partial(command, cwd=tmp_path)


@pytest.fixture(scope="session")
def several(environment: dict[str, str]) -> Command:
    """As ``command``, for one that starts further processes: those are gone too at the end."""

    def run(*argv: Any, cwd: Path, at: At = None) -> Ended:
        process = subprocess.Popen(
            [*FORKS, request(argv, cwd, at)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        code = process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return Ended(code, *process.communicate())

    return run


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text of few words, in which the next word can be guessed."""
    folder = tmp_path_factory.mktemp("text")
    draw = random.Random(1)
    words = [f"w{number}" for number in range(30)]
    for split, lines in (("train", 300), ("valid", 40), ("test", 40)):
        with open(folder / f"{split}.txt", "w", encoding="utf-8") as file:
            for _ in range(lines):
                start = draw.randrange(30)
                line = [words[(start + step * step) % 30] for step in range(7)]
                file.write(" ".join([*line, "<unk>"]) + "\n")
    return folder
