"""Continue a text, word by word."""

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, its name below runs/, or a shipped model")
    parser.add_argument("--words", type=int, default=100, help="how many words to draw")
    parser.add_argument("--prompt", default="", help="text to continue, words parted by blanks")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="above 0; below 1 likely words become likelier still",
    )
    parser.add_argument(
        "--top-k", type=int | None, help="draw from this many of the likeliest words only"
    )
    parser.add_argument(
        "--top-p",
        type=float | None,
        help="draw from the likeliest words that together have this probability only",
    )
    parser.add_argument(
        "--seed", type=int | None, help="the same seed gives the same text; without, a new one"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Print the prompt, and words as they come."""
    from ..device import choose_device
    from ..generate import as_text, generate
    from ..registry import load_language_model
    from ..runs import find_run

    found = find_run(arguments.run)
    model = load_language_model(found, choose_device(arguments.device))
    try:
        words = generate(
            model,
            found.vocabulary,
            words=arguments.words,
            prompt=arguments.prompt,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            seed=arguments.seed,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    drawn: list[str] = []
    blank = " " if arguments.prompt.strip() else ""
    print(arguments.prompt.strip(), end=blank, flush=True)
    for piece in as_text(words):
        print(piece, end="", flush=True)
        drawn.append(piece)
    print()
    if arguments.json:
        print_json({"prompt": arguments.prompt, "words": arguments.words, "text": "".join(drawn)})
