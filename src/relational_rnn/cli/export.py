"""Write a run's model in a format that other programs read."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import note_changes, print_json

KINDS = ("onnx", "hub", "transformers")


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
        "--hub",
        type=Path | None,
        metavar="FOLDER",
        help="write a folder to upload to the Hugging Face hub: the run's files without its "
        "checkpoints, and a model card with its figures",
    )
    parser.add_argument(
        "--transformers",
        type=Path | None,
        metavar="FOLDER",
        help="write a folder that transformers' AutoModelForCausalLM loads after import "
        "relational_rnn.causal_lm; needs the extra [transformers]",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Write the files and print their paths."""
    if not any(arguments[kind] for kind in KINDS):
        raise UserError("say what to write: --onnx FILE, --hub FOLDER or --transformers FOLDER")

    from ..registry import load_language_model
    from ..runs import find_run

    found = find_run(arguments.run)
    written = {"run": found.title}
    if arguments.onnx is not None:
        from ..onnx_export import export_language_model

        export_language_model(load_language_model(found), found.vocabulary, arguments.onnx)
        written["onnx"] = str(arguments.onnx)
    if arguments.hub is not None:
        from ..report.hub_folder import write_hub_folder

        write_hub_folder(found, arguments.hub)
        written["hub"] = str(arguments.hub)
    if arguments.transformers is not None:
        from ..report.pages import make_empty_folder

        model, vocabulary = load_language_model(found), found.vocabulary
        try:
            from transformers.utils.logging import disable_progress_bar

            from ..causal_lm import save_for_transformers
        except ImportError as error:
            raise UserError(
                f"--transformers: {error.name} is not installed; run: "
                "pip install transformers tokenizers"
            ) from error
        make_empty_folder(arguments.transformers)
        disable_progress_bar()  # type: ignore[no-untyped-call]
        save_for_transformers(model, vocabulary, arguments.transformers)
        written["transformers"] = str(arguments.transformers)
    for what in KINDS:
        if what in written:
            print(f"written: {written[what]}")
    if arguments.json:
        print_json(written)
    if arguments.hub is None:  # which refuses changed files
        note_changes(found)
