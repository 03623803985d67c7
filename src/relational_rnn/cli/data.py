"""Prepare a text for training and count its words."""

from jsonargparse import ArgumentParser, Namespace

from ..signals import Stopper
from . import print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "data",
        help="pydoc, wikitext-2, wikitext-103, or a folder with train.txt, valid.txt and test.txt",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Prepare the text, unless it is in the cache, and print the counts."""
    from ..tasks.language_modeling import open_corpus

    with Stopper():  # SIGTERM and SIGHUP remove what was written so far, as Ctrl-C does
        corpus = open_corpus(arguments.data)
    for split, count in corpus.counts.items():
        print(f"{split:10} {count:>13,} tokens")
    print(f"{'vocabulary':10} {len(corpus.vocabulary):>13,} words")
    if arguments.json:
        print_json(corpus.summary())
