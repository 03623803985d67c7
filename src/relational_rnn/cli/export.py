"""Write a run's model in a format that other programs read."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, its name below runs/, or a shipped model")
    parser.add_argument(
        "--onnx",
        type=Path | None,
        metavar="FILE",
        help="write one step of the language model as ONNX, with its vocabulary; needs the extra "
        "[onnx]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Write the file and print its path."""
    if arguments.onnx is None:
        raise UserError("say what to write: --onnx FILE")

    from ..onnx_export import export_language_model
    from ..registry import load_language_model
    from ..runs import find_run

    found = find_run(arguments.run)
    export_language_model(load_language_model(found), found.vocabulary, arguments.onnx)
    print(f"written: {arguments.onnx}")
    if arguments.json:
        print_json({"run": found.title, "onnx": str(arguments.onnx)})
