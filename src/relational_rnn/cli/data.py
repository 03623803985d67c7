"""Prepare a text for training and count its words.

A raw text, of one file or many, is split and written to a folder that `rrnn train --data` takes.
"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from ..printable import printable
from ..signals import Stopper
from . import print_json

if TYPE_CHECKING:
    from ..tasks.language_modeling import Corpus
    from ..tasks.language_modeling.raw_text import WrittenText

TEXTS = Path("texts")
"""Folder of the prepared texts, below the working folder."""
PREPARING = (
    "name", "output", "tokens", "vocabulary_size", "min_count", "lower", "split", "seed",
)  # fmt: skip
"""The options that are of no use for a text that is prepared already."""


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "data",
        help="raw text in UTF-8: a file, a folder of files, or - for the standard input; or a text "
        "to count: pydoc, wikitext-2, wikitext-103, or a folder with train.txt, valid.txt and "
        "test.txt, which is taken as raw if any option below is given",
    )
    group = parser.add_argument_group("raw text")
    group.add_argument("--name", help="name of the text, a folder below texts [the file's]")
    group.add_argument("--output", help="folder to write, instead of a name")
    group.add_argument(
        "--tokens",
        choices=("words", "chars", "subwords", "blanks"),
        help="what the model reads and writes: words and punctuation marks, characters, subwords "
        "(byte-level BPE), or (blanks) whatever whitespace separates, for a text that is tokenized "
        "already [words]",
    )
    group.add_argument(
        "--vocabulary-size",
        type=int | None,
        help="most tokens to distinguish [50000; subwords: 8000]",
    )
    group.add_argument(
        "--min-count",
        type=int | None,
        help="words that occur less often in the training text are read as <unk>, characters and "
        "subwords are spelled with smaller ones [2]",
    )
    group.add_argument("--lower", action="store_const", const=True, help="convert to lower case")
    group.add_argument(
        "--split",
        help="shares of training, validation and test: of whole files if there are 20 or more, "
        "otherwise of blocks of lines [90/5/5]",
    )
    group.add_argument(
        "--seed", type=int | None, help="decides which files or blocks go to which split [0]"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Prepare the text, unless it is in the cache, and print the counts."""
    from ..tasks.language_modeling import open_corpus
    from ..tasks.language_modeling.sources import NAMES, is_split

    values = {name: getattr(arguments, name) for name in PREPARING}
    given = {name: value for name, value in values.items() if value is not None}
    folder = arguments.data
    written = None
    with Stopper():  # SIGTERM and SIGHUP remove what was written so far, as Ctrl-C does
        if folder in NAMES and given:
            option = f"--{next(iter(given)).replace('_', '-')}"
            raise UserError(f"{option}: has no effect on {folder}, which is prepared already")
        if folder not in NAMES and (given or not is_split(Path(folder))):
            written = prepare(arguments.data, **given)
            folder = str(written.folder)
        corpus = open_corpus(folder)
    _print(corpus, written)
    if arguments.json:
        print_json(_result(corpus, written))


def prepare(
    source: str,
    *,
    name: str | None = None,
    output: str | None = None,
    split: str | None = None,
    seed: int = 0,
    characters: int | None = None,
    **tokenizer: Any,
) -> "WrittenText":
    """Write the folder of a raw text, and print what was left out of it.

    Args:
        source: a file, a folder, or ``-``.
        name: of the folder below :data:`TEXTS`; default: the name of the file or folder.
        output: the folder, instead of a name.
        split: shares, as ``90/5/5``.
        seed: decides which files or blocks go to which split.
        characters: read only so many from the beginning.
        **tokenizer: fields of :class:`.TokenizerConfig`.

    Raises:
        UserError: see :func:`.write_text_folder`.
    """
    from ..tasks.language_modeling.raw_text import Shares, write_text_folder
    from ..tasks.language_modeling.tokenizer_training import TokenizerConfig

    if name is not None and (
        output is not None or not name or name == ".." or Path(name).name != name
    ):
        raise UserError(f"--name: must be a plain name, without --output, got {name!r}")
    written = write_text_folder(
        source,
        Path(output) if output is not None else TEXTS / (name or default_name(source)),
        TokenizerConfig(**tokenizer),
        shares=Shares.read(split) if split is not None else None,
        seed=seed,
        characters=characters,
    )
    if written.left_out:
        count = len(written.left_out)
        print(
            f"note: {count:,} file{'s' if count > 1 else ''} left out: "
            f"{printable(written.left_out[0])}{', …' if count > 1 else ''}",
            file=sys.stderr,
        )
    return written


def default_name(source: str) -> str:
    """The name of a text: of its folder, or of its file without the ending."""
    path = Path(source).resolve()
    name = "stdin" if source == "-" else path.name if path.is_dir() else path.stem
    if not name:
        raise UserError("--name: must be given, as the root folder has none")
    return name


def _print(corpus: "Corpus", written: "WrittenText | None") -> None:
    if written is not None:
        files = f"{written.files:,} file{'s' if written.files > 1 else ''}"
        print(f"{printable(written.folder)}: the text of {files}")
    known = corpus.vocabulary.unknown is not None and corpus.vocabulary.tokenizer.words is not None
    for split, count in corpus.counts.items():
        also = ""
        if known:
            unknown = corpus.unknown[split]
            also = f", {unknown:,} of them <unk> ({unknown / count:.2%})"
        elif size := corpus.sizes.get(split):
            also = f" for {size.words:,} words, {size.characters:,} characters"
        print(f"{split:10} {count:>13,} tokens{also}")
    unit = "tokens" if corpus.sizes else "words"
    print(f"{'vocabulary':10} {len(corpus.vocabulary):>13,} {unit}")
    if written is not None:
        folder = shlex.quote(printable(written.folder))
        print(f"train on it: rrnn train language-modeling --data {folder}")


def _result(corpus: "Corpus", written: "WrittenText | None") -> dict[str, Any]:
    result = corpus.summary()
    if written is not None:
        result |= {
            "folder": str(written.folder),
            "unknown": corpus.unknown,
            "left_out": len(written.left_out),
        }
    return result
