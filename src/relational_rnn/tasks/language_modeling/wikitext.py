"""WikiText (Merity et al. 2016, arXiv 1609.07843), fetched by name from the Hugging Face hub."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import UserError
from .words import Split

REPOSITORY = "Salesforce/wikitext"
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
WAY_OUT = "or put train.txt, valid.txt and test.txt in a folder and say --data FOLDER"


@dataclass(frozen=True)
class Part:
    """The files of a split at the pinned revision, and the lines that they hold together."""

    files: tuple[str, ...]
    rows: int


def _part(prefix: str, rows: int, *, files: int = 1) -> Part:
    names = (f"{prefix}-{number:05}-of-{files:05}.parquet" for number in range(files))
    return Part(tuple(names), rows)


# The "-v1" texts are tokenised and have <unk>; the hub's "-raw-v1" are not for word models.
PARTS: dict[str, dict[Split, Part]] = {
    "wikitext-2": {
        "train": _part("wikitext-2-v1/train", 36_718),
        "valid": _part("wikitext-2-v1/validation", 3_760),
        "test": _part("wikitext-2-v1/test", 4_358),
    },
    "wikitext-103": {
        "train": _part("wikitext-103-v1/train", 1_801_350, files=2),
        "valid": _part("wikitext-103-v1/validation", 3_760),
        "test": _part("wikitext-103-v1/test", 4_358),
    },
}


class WikiText:
    """``wikitext-2`` (2 M words to train on) or ``wikitext-103`` (103 M), as published.

    The download stays in the hub's own cache (``HF_HOME`` and ``HF_HUB_OFFLINE`` are heeded);
    once the token files are prepared, the hub is not asked again.
    """

    def __init__(self, name: str):
        self.name = name

    @property
    def digest(self) -> str:
        """SHA-256 of name and revision: what a pinned revision holds cannot change."""
        return hashlib.sha256(f"{REPOSITORY} {REVISION} {self.name}".encode()).hexdigest()

    def where(self, split: Split) -> str:
        """Name and split."""
        return f"{self.name} ({split})"

    def text(self, split: Split) -> Iterator[str]:
        """Yield the text of a split, downloaded if need be. Every row is one line, blank or not.

        Raises:
            UserError: pyarrow is missing, the hub is out of reach, or a file is not what was
                published.
        """
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError:
            raise UserError(
                f"{self.name}: pyarrow is needed to read it: pip install 'relational-rnn[data]'; "
                f"{WAY_OUT}"
            ) from None

        part = PARTS[self.name][split]
        paths = [self._download(file) for file in part.files]
        try:
            files = [ParquetFile(path) for path in paths]
            rows = sum(file.metadata.num_rows for file in files)
            if rows != part.rows:
                raise ValueError(f"{rows:,} rows instead of {part.rows:,}")
            for file in files:
                for batch in file.iter_batches(columns=["text"], batch_size=4096):
                    lines = batch.column(0).to_pylist()
                    yield "".join(line.rstrip("\n") + "\n" for line in lines)
        except (ValueError, OSError) as error:  # pyarrow's own are of these kinds
            raise UserError(
                f"{' and '.join(paths)}: damaged ({error}); delete and try again"
            ) from error

    def _download(self, file: str) -> str:
        """Path of a file in the hub's cache."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import logging

        # It tells of every try; the last error says it all. The hub gives this no types.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            return hf_hub_download(REPOSITORY, file, repo_type="dataset", revision=REVISION)
        except OSError as error:  # the hub's own are of this kind: offline, refused, disk full
            raise UserError(
                f"{self.name}: {file} is not in the cache and cannot be downloaded "
                f"({type(error).__name__}): connect to the internet once, {WAY_OUT}"
            ) from error
