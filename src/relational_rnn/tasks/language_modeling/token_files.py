"""Ids on disk: a text is encoded once, then its ids are mapped into memory wherever needed."""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import replacing, write_text
from .sources import Source
from .vocabulary import Vocabulary
from .words import SPLITS, Split, words

FORMAT = 1  # part of the folder's name: raise it when what is written below changes
FILES = (*(f"{split}.bin" for split in SPLITS), "vocabulary.json", "manifest.json")

Tokens = dict[Split, np.memmap[Any, np.dtype[np.unsignedinteger[Any]]]]


def read(folder: Path) -> tuple[Vocabulary, Tokens] | None:
    """Open prepared files, without reading the ids.

    Returns:
        The vocabulary and each split's ids ``[tokens]`` uint16 or uint32, mapped read-only; None
        if the files are not all there and as the manifest says.
    """
    with contextlib.suppress(OSError, UserError, ValueError, LookupError, TypeError):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        tokens: Tokens = {
            split: np.memmap(folder / f"{split}.bin", dtype=manifest["dtype"], mode="r")
            for split in SPLITS
        }
        counts = {split: len(ids) for split, ids in tokens.items()}
        if (vocabulary.digest, counts) == (manifest["vocabulary"], manifest["tokens"]):
            return vocabulary, tokens
    return None  # whatever was wrong with them, they are prepared anew


def prepare(source: Source, folder: Path) -> tuple[Vocabulary, Tokens]:
    """Encode a text and open the result.

    The files are written in a private folder, and moved when all are complete. A text always
    gives the same files, so several processes may do this at once: whoever comes second finds
    the files there, or at worst puts equal ones in their place.

    Raises:
        UserError: the text is not fit (see its source, and :meth:`.vocabulary.Vocabulary.check`),
            or the cache cannot be written.
    """
    private = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        private.mkdir(parents=True)
        _write(source, private)
        if read(folder) is None:
            folder.mkdir(exist_ok=True)
            for name in FILES:  # the manifest last: until then the others do not count
                os.replace(private / name, folder / name)
        opened = read(folder)
        if opened is None:
            raise OSError(errno.EIO, "not read back as written")
        return opened
    except OSError as error:
        raise UserError(
            f"{folder.parent}: the prepared text cannot be written: {error.strerror}; make room, "
            "or name another cache folder in RRNN_CACHE"
        ) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _write(source: Source, folder: Path) -> None:
    """Read the training text twice, to count and to encode: only a piece of it is ever held."""
    vocabulary = Vocabulary.of(words(source.text("train")))
    if len(vocabulary) < 2:
        raise UserError(f"{source.where('train')}: holds no words, only blank lines")
    for split in SPLITS[1:]:
        vocabulary.check(words(source.text(split)), where=source.where(split))
    dtype = np.dtype("<u2" if len(vocabulary) <= 1 << 16 else "<u4")
    counts = {}
    for split in SPLITS:
        where = source.where(split)
        ids = (vocabulary.encode(part, where=where) for part in words(source.text(split)))
        counts[split] = _write_ids(ids, folder / f"{split}.bin", dtype)
    vocabulary.save(folder / "vocabulary.json")
    manifest = {
        "format": FORMAT,
        "source": {"name": source.name, "sha256": source.digest},
        "dtype": dtype.str,
        "vocabulary": vocabulary.digest,
        "tokens": counts,
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def _write_ids(parts: Iterable[NDArray[np.int64]], path: Path, dtype: np.dtype[Any]) -> int:
    count = 0
    with replacing(path) as file:
        for ids in parts:
            file.write(ids.astype(dtype).data)
            count += len(ids)
    return count
