"""WikiText (Merity et al. 2016, arXiv 1609.07843), downloaded by name from the Hugging Face hub."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UserError
from ...processes import is_first_process
from .tokenization import WHITESPACE, Split

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

REPOSITORY = "Salesforce/wikitext"
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
FOLDER_INSTEAD = "or pass --data FOLDER with train.txt, valid.txt and test.txt"


@dataclass(frozen=True)
class Part:
    """The files of a split at the pinned revision, and the lines and tokens in all of them."""

    files: tuple[str, ...]
    rows: int
    tokens: int | None = None  # as published by Merity et al.; None: not checked


def _part(prefix: str, rows: int, tokens: int | None = None, *, files: int = 1) -> Part:
    names = (f"{prefix}-{number:05}-of-{files:05}.parquet" for number in range(files))
    return Part(tuple(names), rows, tokens)


# The "-v1" texts are tokenized and have <unk>; the hub's "-raw-v1" texts are not for word models.
PARTS: dict[str, dict[Split, Part]] = {
    "wikitext-2": {
        "train": _part("wikitext-2-v1/train", 36_718, 2_088_628),
        "valid": _part("wikitext-2-v1/validation", 3_760, 217_646),
        "test": _part("wikitext-2-v1/test", 4_358, 245_569),
    },
    "wikitext-103": {
        "train": _part("wikitext-103-v1/train", 1_801_350, 103_227_021, files=2),
        "valid": _part("wikitext-103-v1/validation", 3_760, 217_646),
        "test": _part("wikitext-103-v1/test", 4_358, 245_569),
    },
}


class WikiText:
    """``wikitext-2`` (2 M training words) or ``wikitext-103`` (103 M), as published.

    Downloads stay in the hub's own cache (``HF_HOME`` and ``HF_HUB_OFFLINE`` are respected). Once
    the token files are prepared, neither the hub nor pyarrow is needed.
    """

    tokenizer = WHITESPACE

    def __init__(self, name: str):
        self.name = name
        self.location = name
        self._checked: set[str] = set()

    @property
    def digest(self) -> str:
        """SHA-256 of name and revision: the content of a pinned revision cannot change."""
        return hashlib.sha256(f"{REPOSITORY} {REVISION} {self.name}".encode()).hexdigest()

    def where(self, split: Split) -> str:
        """Name and split."""
        return f"{self.name} ({split})"

    def size(self, split: Split) -> int:
        """About the characters of a split, from the metadata of its files; raises as `text`."""
        with self._opened(split) as files:
            return sum(
                file.metadata.row_group(number).total_byte_size
                for file in files
                for number in range(file.num_row_groups)
            )

    def tokens(self, split: Split) -> int | None:
        """Published number of tokens of a split."""
        return PARTS[self.name][split].tokens

    def text(self, split: Split) -> Iterator[str]:
        """Yield the text of a split, downloading it if needed. Every row is a line, even if blank.

        Raises:
            UserError: pyarrow is not installed, the hub cannot be reached, or a file differs from
                the published one.
        """
        with self._opened(split) as files:
            for file in files:
                for batch in file.iter_batches(columns=["text"], batch_size=4096):
                    lines = batch.column(0).to_pylist()
                    yield "".join(line.rstrip("\n") + "\n" for line in lines)

    @contextmanager
    def _opened(self, split: Split) -> Iterator[list["ParquetFile"]]:
        """The files of a split, complete; errors in reading them become :class:`UserError`."""
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError:
            raise UserError(
                f"{self.name}: reading it needs pyarrow, which is not installed; run: "
                f"pip install pyarrow, {FOLDER_INSTEAD}"
            ) from None

        part = PARTS[self.name][split]
        paths = [self._download(file) for file in part.files]
        try:
            for path in paths:
                self._check(path)
            files = [ParquetFile(path) for path in paths]
            rows = sum(file.metadata.num_rows for file in files)
            if rows != part.rows:
                raise ValueError(f"{rows:,} rows instead of {part.rows:,}")
            yield files
        except (ValueError, OSError) as error:  # includes pyarrow's own exceptions
            raise UserError(
                f"{' and '.join(paths)}: damaged ({error}); delete and try again"
            ) from error

    def _check(self, path: str) -> None:
        """Compare a download with its SHA-256, which is its name in the hub's cache.

        Raises:
            ValueError: they differ. Where the cache has no links, there is no such name to check.
        """
        stated = os.path.basename(os.path.realpath(path))
        if path not in self._checked and re.fullmatch("[0-9a-f]{64}", stated):
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != stated:
                    raise ValueError("its SHA-256 is not the one that the hub states")
        self._checked.add(path)

    def _download(self, file: str) -> str:
        """Path of a file in the hub's cache."""
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.utils import logging

        # The hub logs every failed attempt; the final error is enough. It has no type hints here.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        cached = try_to_load_from_cache(REPOSITORY, file, repo_type="dataset", revision=REVISION)
        if cached is None and is_first_process():
            print(f"{self.name}: downloading {file}", file=sys.stderr, flush=True)
        try:
            return hf_hub_download(REPOSITORY, file, repo_type="dataset", revision=REVISION)
        except OSError as error:  # the hub's exceptions are OSErrors: offline, denied, disk full
            raise UserError(
                f"{self.name}: {file} is not in the cache and cannot be downloaded "
                f"({type(error).__name__}); connect to the internet once, {FOLDER_INSTEAD}"
            ) from error
