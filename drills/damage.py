"""Damage the files of a run or of the cache, and see what the commands that read them do.

A file gets a flipped bit, loses its end, gets a block of zeros, or is exchanged for the same file
of another run. Allowed are: the damage is refused or named in one line, or the results are those of
the undamaged file. A command that ends as usual with other results has taken it silently.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .commands import Command, Ended, HangError
from .record import Row
from .small_runs import RUN, STEPS, Words, difference, make_text, plain

BLOCK = 64
"""Most bytes of a block of zeros."""


@dataclass(frozen=True)
class Case:
    """A file and a command that reads it.

    Attributes:
        file: the file, a pattern below the working folder.
        argv: the command.
        without: another file, removed so that this one is used in its place.
    """

    file: str
    argv: Words
    without: str = ""

    @property
    def title(self) -> str:
        """Name of the row."""
        words = [str(word) for word in self.argv if word != RUN.name]
        verb = words[0] if words[0] != "train" or "--resume" not in words else "train --resume"
        place = "cache" if self.file.startswith("cache") else "run"
        return f"damaged {Path(self.file).name} of the {place}, read by rrnn {verb}"

    @property
    def trains(self) -> bool:
        """Whether the command writes a run, which is then compared."""
        return self.argv[0] == "train"


RESUME: Words = ("train", "--resume", RUN.name, "--max-steps", STEPS)
TEST: Words = ("test", RUN.name, "--json")
REPORT: Words = ("report", RUN.name, "--json")
GENERATE: Words = ("generate", RUN.name, "--words", 30, "--seed", 1)

CASES = [
    Case(f"{RUN}/checkpoints/last.ckpt", RESUME),
    Case(f"{RUN}/checkpoints/best.ckpt", TEST, without=f"{RUN}/model.safetensors"),
    Case(f"{RUN}/model.safetensors", TEST),
    Case(f"{RUN}/vocabulary.json", TEST),
    Case(f"{RUN}/vocabulary.json", GENERATE),
    Case(f"{RUN}/config.yaml", TEST),
    Case(f"{RUN}/config.yaml", RESUME),
    Case(f"{RUN}/metrics.csv", REPORT),
    Case(f"{RUN}/metrics.csv", RESUME),
    Case(f"{RUN}/summary.json", REPORT),
    Case(f"{RUN}/text.json", RESUME),
    *(
        Case(f"cache/**/{name}", ("train",))
        for name in ("train.bin", "valid.bin", "test.bin", "vocabulary.json", "manifest.json")
    ),
]


def drill(tries: int, random: Random, folder: Path) -> Iterator[Row]:
    """Damage files.

    Args:
        tries: damaged files in all.
        random: chooses the damage.
        folder: an empty folder to work in.
    """
    homes = []
    for seed in (1, 2):
        text = folder / f"text-{seed}"
        make_text(text, seed=seed)
        homes.append(folder / f"home-{seed}")
        homes[-1].mkdir()
        ended = _run(plain(text, seed=seed), homes[-1])
        if ended.code:
            raise RuntimeError(ended.err)
    new = plain(folder / "text-1")
    cases = []
    for number, case in enumerate(CASES):
        argv = new if case.argv == ("train",) else case.argv
        wanted = _prepared(case, argv, homes[0], folder / f"undamaged-{number}")
        undamaged = _run(argv, wanted)
        if undamaged.code:
            raise RuntimeError(undamaged.err)
        cases.append((Row(case.title), case, argv, wanted, undamaged))
    for attempt in range(max(1, tries // len(CASES))):
        for row, case, argv, wanted, undamaged in cases:
            copy = _prepared(case, argv, homes[0], folder / "damaged")
            original = _find(case.file, homes[0]).read_bytes()
            path, other = (_find(case.file, home) for home in (copy, homes[1]))
            while path.read_bytes() == original:  # zeros where zeros were
                kind, damage = random.choice(list(DAMAGES.items()))
                damage(path, other, random)
            row.tries += 1
            try:
                ended = _run(argv, copy)
            except HangError as error:
                row.fail(f"try {attempt}, {kind}", str(error))
                continue
            outcome, reason = _judge(case, ended, undamaged, copy, wanted)
            row.outcomes[outcome] += 1
            if reason:
                row.fail(f"try {attempt}, {kind}", reason)
            yield row


def _judge(case: Case, ended: Ended, undamaged: Ended, copy: Path, wanted: Path) -> tuple[str, str]:
    """The outcome, and what is wrong with it."""
    if ended.fault or ended.code not in (0, 2):
        return "faults", ended.fault or f"ended with {ended.code}: {ended.err.strip()}"
    if ended.refused:
        return "refused", ""
    if case.trains:
        different = difference(copy / RUN, wanted / RUN)
    else:
        same = _words(ended, copy) == _words(undamaged, wanted)
        different = "" if same else "the output differs"
    if not different:
        return "same results", ""
    if ended.err != undamaged.err:
        return "named", ""
    return "silently taken", different


def _words(ended: Ended, folder: Path) -> str:
    return ended.out.replace(str(folder), "")


def _prepared(case: Case, argv: Words, home: Path, copy: Path) -> Path:
    """A copy of the run and the cache, ready for the command."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    if case.without:
        (copy / case.without).unlink()
    if "--resume" not in argv and case.trains:
        shutil.rmtree(copy / RUN)
    return copy


def _run(argv: Words, folder: Path) -> Ended:
    return Command(argv, folder, environment={"RRNN_CACHE": str(folder / "cache")}).wait()


def _find(pattern: str, folder: Path) -> Path:
    return next(folder.glob(pattern))


def _flip(path: Path, other: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, other: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(len(content))])


def _zero(path: Path, other: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    start = random.randrange(len(content))
    block = content[start : start + random.randint(1, BLOCK)]
    content[start : start + len(block)] = bytes(len(block))
    path.write_bytes(content)


def _exchange(path: Path, other: Path, random: Random) -> None:
    path.write_bytes(other.read_bytes())


Damage = Callable[[Path, Path, Random], None]
DAMAGES: dict[str, Damage] = {
    "flipped bit": _flip,
    "lost end": _cut,
    "zeros": _zero,
    "exchanged": _exchange,
}
