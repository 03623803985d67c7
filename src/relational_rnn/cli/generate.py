"""Generate text with the language model of a run."""

import sys
from collections.abc import Iterator
from itertools import chain

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from ..printable import printable
from . import note_changes, print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, its name below runs/, or a shipped model")
    parser.add_argument(
        "--words",
        type=int,
        default=100,
        help="number of words to draw, or of whatever the tokens of the run's text are [100]",
    )
    parser.add_argument(
        "--prompt",
        default="",
        help="text to continue, read as the run's text; a line end is read as <eos> [none]",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="above 0; values below 1 favour likely words [1.0]",
    )
    parser.add_argument("--top-k", type=int | None, help="draw from the K most likely words only")
    parser.add_argument(
        "--top-p",
        type=float | None,
        help="draw from the most likely words with this total probability only",
    )
    parser.add_argument("--no-unk", action="store_true", help="never draw <unk>")
    parser.add_argument("--seed", type=int | None, help="equal seeds give equal texts [random]")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="device to compute on [auto]",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the result as one line of JSON at the end: the text, and the probability of "
        "each word with ten alternatives",
    )


def run(arguments: Namespace) -> None:
    """Print the prompt, then each word as it is drawn."""
    from ..device import choose_device
    from ..generate import Drawn, generate
    from ..registry import load_language_model
    from ..runs import find_run
    from ..tasks.language_modeling import read_prompt
    from ..threads import use_threads_of

    found = find_run(arguments.run)
    use_threads_of(found.config)
    model = load_language_model(found, choose_device(arguments.device))
    prompt = arguments.prompt
    read = read_prompt(prompt, found.vocabulary)
    if note := read.note:
        print(f"note: {printable(note)}", file=sys.stderr)
    if arguments.no_unk and found.vocabulary.unknown is None:
        print("note: --no-unk has no effect: the vocabulary has no <unk>", file=sys.stderr)
    try:
        drawn = generate(
            model,
            found.vocabulary,
            words=arguments.words,
            prompt=prompt,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            seed=arguments.seed,
            without_unknown=arguments.no_unk,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    kept: list[Drawn] = []

    def words() -> Iterator[str]:
        for one in drawn:
            kept.append(one)
            yield one.word

    text = ""
    tokenizer = found.vocabulary.tokenizer
    shown = prompt if tokenizer.exact else _as_words(prompt)
    pieces = tokenizer.as_text(words(), after=read.words)
    first = next(pieces, "")  # the first step may compile the core, and says so on stderr
    print(printable(shown, newlines=True), end="", flush=True)
    for piece in chain([first], pieces):
        print(printable(piece, newlines=True), end="", flush=True)
        text += piece
    print()
    if arguments.json:
        each = [
            {"word": word, "probability": probability, "alternatives": dict(alternatives)}
            for word, probability, alternatives in kept
        ]
        if not tokenizer.exact:
            text = text.removeprefix(" ")
        print_json({"prompt": prompt, "words": arguments.words, "text": text, "each": each})
    note_changes(found)


def _as_words(prompt: str) -> str:
    """The prompt without blanks around it, but with the line end that it may have."""
    stripped = prompt.strip()
    ended = "\n" in prompt[len(prompt.rstrip()) :]
    return stripped + "\n" if stripped and ended else stripped
