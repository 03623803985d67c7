"""A raw text, of one file or many, to a folder that a model can be trained on.

The folder has ``train.txt``, ``valid.txt`` and ``test.txt``, raw as well, and ``tokenizer.json``,
which says how they are read.
"""

import contextlib
import filecmp
import math
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ...files import replacing, reporting_errors
from ...progress import progress
from .lines import LONGEST, lines
from .private_folder import private_folder, remove_abandoned
from .sources import Folder, is_split, read
from .tokenization import SPLITS, Split
from .tokenizer_training import TokenizerConfig, make_tokenizer

STDIN = "-"
MANY = 20
"""With as many files, each goes to one split as a whole."""

BLOCKS = 200
"""With fewer files, the text is cut into about as many blocks of lines."""

LONGEST_LINE = 10
"""A line as long as this many blocks is cut."""

IGNORED = "__pycache__"


class Shares(NamedTuple):
    """How a text is split: any numbers, in proportion."""

    train: float = 90
    valid: float = 5
    test: float = 5

    @classmethod
    def read(cls, text: str) -> "Shares":
        """From a text like ``90/5/5``.

        Raises:
            UserError: it is not three numbers above 0.
        """
        with contextlib.suppress(ValueError, TypeError):
            shares = cls(*map(float, text.split("/")))
            if len(text.split("/")) == len(SPLITS) and all(0 < one < math.inf for one in shares):
                return shares
        raise UserError(f"--split: must be three numbers above 0, such as 90/5/5, got {text!r}")


@dataclass(frozen=True)
class WrittenText:
    """What became of a raw text.

    Attributes:
        folder: the folder that was written, or was there already with the same content.
        files: number of files that were read.
        left_out: for each file that could not be read as text, why.
        cut: whether only the beginning was read.
    """

    folder: Path
    files: int
    left_out: list[str]
    cut: bool


@dataclass(frozen=True)
class _Document:
    path: Path
    title: str  # what messages call it
    characters: int | None  # to read; None: all

    def text(self) -> Iterator[str]:
        left = sys.maxsize if self.characters is None else self.characters
        for piece in read(self.path, title=self.title):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


def write_text_folder(
    source: str,
    output: Path,
    tokenizer: TokenizerConfig,
    *,
    shares: Shares | None = None,
    seed: int = 0,
    characters: int | None = None,
) -> WrittenText:
    """Split a raw text, make its tokenizer, and write both.

    Args:
        source: a file, a folder, or ``-`` for the standard input. A folder with a file for each
            split is split already; of any other all files are read, those in subfolders too, but
            for hidden ones.
        output: the folder to write.
        tokenizer: what tokens the text is made of.
        shares: of each split; default 90/5/5.
        seed: decides what goes to which split, at least 0.
        characters: read only so many from the beginning.

    Raises:
        UserError: there is no such text, it has nothing that can be read or is too short to be
            split, ``seed`` is negative, or ``output`` holds something else.
    """
    if seed < 0:  # Python's generator would ignore the sign
        raise UserError(f"--seed: must be at least 0, got {seed}")
    if not output.name:
        raise UserError(f"{output}: is no name for a new folder; choose another --output")
    with reporting_errors(output):
        remove_abandoned(output.parent)
        with private_folder(output) as private:
            staged = private / output.name
            staged.mkdir()
            if is_split(Path(source)):
                if shares is not None:
                    raise UserError(f"--split: has no effect on {source}, which has three files")
                written = _copy(Path(source), staged, output)
            else:
                written = _split(source, staged, output, shares or Shares(), seed, characters)
            train = staged / "train.txt"
            with progress(
                f"{output.name}: reading words", 2 * train.stat().st_size, "characters"
            ) as advance:

                def text() -> Iterator[str]:
                    for piece in read(train):
                        yield piece
                        advance(len(piece))

                try:
                    made = make_tokenizer(text, tokenizer)
                except UserError as error:
                    raise UserError(f"{source}: {error}") from error
            made.save(staged / "tokenizer.json")
            _move(staged, output)
    return written


def _copy(source: Path, staged: Path, output: Path) -> WrittenText:
    folder = Folder(source, stamps=staged / "stamps")
    for split in SPLITS:
        _write(staged / f"{split}.txt", folder.text(split))
    return WrittenText(output, len(SPLITS), [], False)


def _split(
    source: str, staged: Path, output: Path, shares: Shares, seed: int, characters: int | None
) -> WrittenText:
    paths = _files(source, staged)
    total = sum(path.stat().st_size for path in paths)
    total = min(total, characters or total)
    block = None if len(paths) >= MANY else max(1, total // BLOCKS)
    documents: list[_Document] = []
    sizes: list[list[int]] = []  # of the units of each document
    left_out = []
    left = characters
    with progress(f"{output.name}: reading", total, unit="characters") as advance:
        for path in paths:
            document = _Document(path, source if source == STDIN else str(path), left)
            counts: Counter[int] = Counter()
            try:
                for unit, text in _units(document, block):
                    counts[unit] += len(text)
                    advance(len(text))
            except UserError as error:
                if len(paths) == 1:
                    raise
                left_out.append(str(error))
                continue
            documents.append(document)
            sizes.append([counts[unit] for unit in range(len(counts))])
            if left is not None:
                left -= counts.total()
                if left <= 0:
                    break
    if not any(sizes):
        raise UserError(f"{source}: holds no text in UTF-8; give a file or a folder with text")
    labels = iter(deal([size for units in sizes for size in units], shares, seed, where=source))
    with contextlib.ExitStack() as stack:
        files = {split: stack.enter_context(replacing(staged / f"{split}.txt")) for split in SPLITS}
        for document, units in zip(documents, sizes, strict=True):
            own = [next(labels) for _ in units]
            for unit, text in _units(document, block):
                if unit >= len(own):
                    raise UserError(f"{document.title}: changed while it was read; try again")
                files[own[unit]].write(text.encode())
    cut = left is not None and left <= 0
    return WrittenText(output, len(documents), left_out, cut)


def _files(source: str, staged: Path) -> list[Path]:
    """The files of a text, in alphabetical order."""
    if source == STDIN:
        if sys.stdin is None:  # closed
            raise UserError("-: there is no standard input; give a file or a folder with text")
        path = staged.parent / "standard input"
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return [path]
    path = Path(source)
    if path.is_file():
        return [path]
    if not source or not path.is_dir():
        raise UserError(
            f"{source or repr(source)}: not found; give a file or a folder with text, or - to read "
            "the standard input"
        )
    found = [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file()
        and not _is_prepared(each.parent)
        and not any(
            part.startswith(".") or part == IGNORED for part in each.relative_to(path).parts
        )
    ]
    if not found:
        raise UserError(f"{source}: has no files; give a file or a folder with text")
    return found


def _is_prepared(folder: Path) -> bool:
    return is_split(folder) and (folder / "tokenizer.json").exists()


def _units(document: _Document, block: int | None) -> Iterator[tuple[int, str]]:
    """The text of a document with the number of the unit that it belongs to, from 0.

    Every unit ends with a line end.

    Args:
        document: the document.
        block: characters of a unit, which is rounded up to whole lines; None: the document is one.
    """
    longest = LONGEST if block is None else max(1_000, LONGEST_LINE * block)
    unit, filled, end = 0, 0, "\n"
    for line in lines(document.text(), min(longest, LONGEST)):
        if block is not None and filled >= (block if end == "\n" else longest // 2):
            if end != "\n":
                yield unit, "\n"
            unit, filled = unit + 1, 0
        yield unit, line
        filled += len(line)
        end = line[-1]
    if end != "\n":
        yield unit, "\n"


def deal(sizes: Sequence[int], shares: Shares, seed: int, *, where: str) -> list[Split]:
    """Assign units of a text to the splits at random.

    Validation and test take the units that fit into their shares, at least one; training keeps the
    others.

    Raises:
        UserError: there are too few units for three splits.
    """
    if len(sizes) < len(SPLITS):
        raise UserError(
            f"{where}: is too short to be split: it has fewer than {len(SPLITS)} lines or files; "
            "give a longer text, or a folder with train.txt, valid.txt and test.txt"
        )
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    dealt: list[Split] = ["train"] * len(sizes)
    for split, share in (("valid", shares.valid), ("test", shares.test)):
        room = sum(sizes) * share / sum(shares)
        free = [unit for unit in order if dealt[unit] == "train"]
        taken: list[int] = []
        most = len(free) - (2 if split == "valid" else 1)  # one for each split that follows
        for unit in free:
            if sizes[unit] <= room and len(taken) < most:
                taken.append(unit)
                room -= sizes[unit]
        for unit in taken or [min(free, key=sizes.__getitem__)]:
            dealt[unit] = "valid" if split == "valid" else "test"
    return dealt


def _write(path: Path, text: Iterable[str]) -> None:
    with replacing(path) as file:
        for piece in text:
            file.write(piece.encode())


def _move(staged: Path, output: Path) -> None:
    """Move a folder to its place, where there may be nothing else but the same files.

    Raises:
        UserError: there is something else.
    """
    if output.is_dir() and any(output.iterdir()):
        names = [*(f"{split}.txt" for split in SPLITS), "tokenizer.json"]
        if filecmp.cmpfiles(staged, output, names, shallow=False)[0] == names:
            return
    elif not output.exists() or output.is_dir():
        staged.replace(output)
        return
    raise UserError(
        f"{output}: exists already with other content; choose another --name or --output, or "
        "remove it"
    )
