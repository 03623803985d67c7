"""Perplexity of a text, and the loss of each of its words."""

from itertools import chain
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from ..printable import printable
from . import note_changes, print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, its name below runs/, or a shipped model")
    # Not type=Path: jsonargparse would refuse a name that is not UTF-8.
    parser.add_argument(
        "file",
        help="a text file in UTF-8: raw if rrnn data prepared the run's text, otherwise with "
        "spaces between the tokens, as in WikiText",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="device to compute on [auto]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Print each word with its loss in nats, then the perplexity of the text."""
    from ..device import choose_device
    from ..evaluate.perplexity import Score, describe_units, in_other_units, token_losses
    from ..registry import load_language_model
    from ..runs import find_run
    from ..tasks.language_modeling.text_size import measure
    from ..threads import use_threads_of

    found = find_run(arguments.run)
    use_threads_of(found.config)
    text = _text(Path(arguments.file))
    model = load_language_model(found, choose_device(arguments.device))
    vocabulary = found.vocabulary
    tokenizer = vocabulary.tokenizer
    words = list(chain.from_iterable(tokenizer.tokenize([text])))
    ids = vocabulary.encode(words, where=arguments.file)
    losses = token_losses(model, ids, start=vocabulary.eos)
    score = Score.of(losses)
    units = in_other_units(score, measure([text]) if tokenizer.exact else None)
    unknown = [word for word in words if word not in vocabulary.index]
    print("  nats  word")
    for word, loss in zip(words, losses.tolist(), strict=True):
        mark = "" if word in vocabulary.index else "  (unknown to the model, read as <unk>)"
        print(f"{loss:6.2f}  {printable(tokenizer.shown(word))}{mark}")
    also = f" · {describe_units(units)}" if units else ""
    print(
        f"{score.tokens:,} tokens, {len(unknown):,} of them unknown to the model · "
        f"{score.loss:.4f} nats per token · perplexity {score.perplexity:,.2f}{also}"
    )
    if arguments.json:
        each = [
            {"word": word, "loss": loss} for word, loss in zip(words, losses.tolist(), strict=True)
        ]
        print_json({**score._asdict(), **units, "unknown": len(unknown), "words": each})
    note_changes(found)


def _text(path: Path) -> str:
    from ..tasks.language_modeling.sources import read

    text = "".join(read(path))
    if not text.strip():
        raise UserError(f"{path}: holds no words; it must hold at least one")
    return text
