"""Where a text comes from: a name known here, or a folder of the user's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ...config.fields import nearest
from ...errors import UserError
from .folder import Folder
from .pydoc import Pydoc
from .wikitext import PARTS, WikiText
from .words import Split

NAMES = ("pydoc", *PARTS)


class Source(Protocol):
    """A text in three parts."""

    @property
    def name(self) -> str:
        """A short name; the cache folder begins with it."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the text: another text, another digest."""

    def where(self, split: Split) -> str:
        """Say for a message where a part is read."""

    def text(self, split: Split) -> Iterator[str]:
        """Yield a part in pieces, cut anywhere; lines end with ``"\\n"``."""


def find_source(name_or_folder: str, *, cache: Path) -> Source:
    """Find the text that a user means; a name wins over a folder, ``./NAME`` is the folder.

    Args:
        name_or_folder: one of :data:`NAMES`, or a folder as in :class:`.folder.Folder`.
        cache: the cache folder, where the hashes of large files are remembered.

    Raises:
        UserError: neither a name nor a folder, or the folder lacks a file.
    """
    if name_or_folder == "pydoc":
        return Pydoc()
    if name_or_folder in PARTS:
        return WikiText(name_or_folder)
    if Path(name_or_folder).is_dir():
        return Folder(Path(name_or_folder), stamps=cache / "stamps")
    raise UserError(
        f"{name_or_folder}: is neither a data set ({', '.join(NAMES)}) nor a folder with "
        f"train.txt, valid.txt and test.txt{nearest(name_or_folder, NAMES)}"
    )
