"""Evaluate the model of a run: perplexity on a text, or accuracy on the run's task.

The perplexity does not depend on --batch-size and --bptt, which change speed and memory. The
methods --temperature, --cache and --dynamic are tuned on the validation set only, and reported in
addition to the plain perplexity.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from jsonargparse import ArgumentParser, Namespace

from ..config import GeneratedConfig, LanguageModelingConfig, NthFarthestConfig, WritingConfig
from ..errors import UserError
from ..printable import printable
from ..registry import is_generated, load_language_model, load_task_model
from ..runs import Run, find_run
from ..threads import use_threads_of
from . import note_changes, print_json

if TYPE_CHECKING:
    import torch

    from ..evaluate.streaming import Tokens
    from ..tasks.language_modeling import TextSize

METHODS: tuple[Literal["temperature", "cache", "dynamic"], ...] = (
    "temperature",
    "cache",
    "dynamic",
)


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", help="a run folder, its name below runs/, or a shipped model")
    parser.add_argument("--data", type=str | None, help="name or folder of the text [the run's]")
    parser.add_argument(
        "--split", choices=("valid", "test"), default="test", help="split to use [test]"
    )
    parser.add_argument(
        "--batch-size", type=int | None, help="pieces of the text to read in parallel [the run's]"
    )
    parser.add_argument(
        "--bptt", type=int | None, help="tokens read at once from each piece [the run's]"
    )
    parser.add_argument(
        "--precision",
        choices=("32", "bf16-mixed"),
        default="32",
        help="bf16-mixed may be faster, but is not exact [32]",
    )
    parser.add_argument(
        "--temperature",
        action="store_true",
        help="add the perplexity with the best softmax temperature",
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="add the perplexity with a neural cache (Grave et al. 2016)",
    )
    parser.add_argument(
        "--dynamic",
        action="store_true",
        help="add dynamic evaluation (Krause et al. 2018), which trains on the text and is slow",
    )
    parser.add_argument(
        "--segment",
        type=int | None,
        help="tokens between two steps of dynamic evaluation [5]; larger is faster",
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
    """Evaluate the model and print the results."""
    for name in ("batch_size", "bptt", "segment"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: must be at least 1, got {value}")
    if arguments.segment is not None and not arguments.dynamic:
        raise UserError("--segment: has no effect without --dynamic")

    from ..device import choose_device

    found = find_run(arguments.run)
    use_threads_of(found.config)
    device = choose_device(arguments.device)
    if is_generated(found.config):
        result = _accuracy(found, cast(GeneratedConfig, found.config), arguments, device)
    else:
        result = _perplexity(found, arguments, device)
    if arguments.json:
        print_json({"split": arguments.split, **result})
    note_changes(found)


def _perplexity(found: Run, arguments: Namespace, device: "torch.device") -> dict[str, Any]:
    from ..evaluate.methods import evaluate_with
    from ..evaluate.perplexity import describe_units, evaluate, in_other_units
    from ..evaluate.streaming import Reading

    config = cast(LanguageModelingConfig, found.config)
    if arguments.data is None:
        found.check_text_exists()
    source = arguments.data or config.data
    tokens, size = _tokens(found, source, arguments)
    model = load_language_model(found, device)
    reading = Reading(
        start=found.vocabulary.eos,
        batch_size=arguments.batch_size or config.eval_batch_size,
        bptt=arguments.bptt or config.bptt,
        precision=arguments.precision,
    )
    score = evaluate(
        model, tokens[arguments.split], title=f"evaluating {arguments.split}", **reading
    )
    units = in_other_units(score, size)
    result = {**score._asdict(), **units, "parameters": _count(model.parameters())}
    print(f"{printable(found.title)}: {result['parameters']:,} parameters")
    print(f"{printable(source)}, {arguments.split}: {score.tokens:,} tokens")
    _print_line("plain", result, {})
    if units:
        print(f"{'':12}perplexity {describe_units(units)}")
    methods = [method for method in METHODS if getattr(arguments, method)]
    if methods and arguments.split == "valid":
        print("note: tuned on the same text, so the next results are optimistic", file=sys.stderr)
    for method in methods:
        segment = {} if arguments.segment is None else {"segment": arguments.segment}
        one = evaluate_with(method, model, tokens, arguments.split, **segment, **reading)
        del one["tokens"]
        result[method] = one
        _print_line(method, one, {key: one[key] for key in list(one)[2:]})
    return result


def _tokens(
    found: Run, source: str, needed: Namespace
) -> "tuple[Mapping[str, Tokens], TextSize | None]":
    """The required splits of the text, encoded as the model's, and the size of the one tested."""
    from ..tasks.language_modeling import encode_corpus

    splits = {needed.split, "valid", *(["train"] if needed.dynamic else [])}
    encoded = encode_corpus(source, found.vocabulary, sorted(splits))
    if needed.data is None and found.text_digest not in (None, encoded.digest):
        print(
            f"note: {source} has changed since {found.title} was trained on it; if the text is "
            "elsewhere now, give --data",
            file=sys.stderr,
        )
    if encoded.unknown:
        total = sum(map(len, encoded.tokens.values()))
        meaning = ""
        if encoded.unknown > total / 4:
            meaning = "; a perplexity of so many <unk> says little about the words"
        print(
            f"note: {encoded.unknown:,} of the {total:,} tokens read ({', '.join(sorted(splits))}) "
            f"are unknown to the model and are read as <unk>{meaning}",
            file=sys.stderr,
        )
    tokens = {str(split): ids for split, ids in encoded.tokens.items()}
    return tokens, encoded.sizes.get(needed.split)


def _accuracy(
    found: Run, config: GeneratedConfig, arguments: Namespace, device: "torch.device"
) -> dict[str, Any]:
    from ..evaluate.accuracy import by_difficulty, evaluate

    for name in ("data", "bptt", *METHODS):
        if getattr(arguments, name):
            raise UserError(f"--{name}: has no effect on {config.task}; it is for language models")
    if arguments.batch_size is not None:
        config = replace(config, eval_batch_size=arguments.batch_size)
    model = load_task_model(found, device)
    score = evaluate(model, config, stream=arguments.split)
    result = {**score._asdict(), "parameters": _count(model.parameters())}
    print(f"{printable(found.title)}: {result['parameters']:,} parameters")
    whole = ""
    if isinstance(config, WritingConfig):  # otherwise an answer is one character
        whole = f" · whole answers {score.answer_accuracy:.2%}"
    print(
        f"{config.task}, {arguments.split}: {score.examples:,} examples · "
        f"accuracy {score.accuracy:.2%}{whole}"
    )
    if arguments.split == "test":
        if isinstance(config, NthFarthestConfig):
            first = "is the farthest from" if config.order == "farthest" else "is"
            print(f"  by n, the rank of the vector asked for: n = 0 {first} vector m;")
            print("  then by m_step, the step from 0 that shows vector m")
        result["by_difficulty"] = by_difficulty(model, config)
        for row in result["by_difficulty"]:
            kind = ", ".join(f"{key} {row[key]}" for key in row if key not in score._fields)
            if row.get("place") == 0:
                print("  then by the place of a character in the longest answers, 0 for the last")
            print(f"  {kind:24} accuracy {row['accuracy']:.2%}")
    return result


def _count(parameters: "Iterable[torch.Tensor]") -> int:
    return sum(parameter.numel() for parameter in parameters)


def _print_line(name: str, score: Mapping[str, Any], settings: Mapping[str, float]) -> None:
    chosen = ", ".join(f"{key} {value:.4g}" for key, value in settings.items())
    figures = f"perplexity {score['perplexity']:9,.2f}   {score['loss']:.4f} nats per token"
    print(f"{name:12}{figures}{f'   ({chosen}, tuned on valid)' if chosen else ''}", flush=True)
