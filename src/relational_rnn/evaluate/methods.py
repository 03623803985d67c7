"""Methods that lower perplexity at test time: tuned on the validation set, then reported."""

from collections.abc import Mapping
from typing import Any, Literal, Unpack

from ..models.language_model import LanguageModel
from . import cache, dynamic, temperature
from .streaming import Reading, Tokens

Method = Literal["temperature", "cache", "dynamic"]


def evaluate_with(
    method: Method,
    model: LanguageModel,
    tokens: Mapping[str, Tokens],
    split: str,
    *,
    segment: int = dynamic.SEGMENT,
    **reading: Unpack[Reading],
) -> dict[str, Any]:
    """Tune a method on ``tokens["valid"]``, then evaluate it on ``tokens[split]``.

    Args:
        method: name of the method.
        model: a language model; it is not modified.
        tokens: ids of "valid" and of the split; for dynamic evaluation also of "train", for the
            gradient statistics.
        split: split to report. On "valid" the result is optimistic: it was tuned on the same text.
        segment: dynamic evaluation: tokens between two steps.
        **reading: as in :func:`.perplexity.token_losses`.

    Returns:
        "loss", "perplexity", "tokens", and the chosen settings, all plain numbers.
    """
    if method == "temperature":
        best = temperature.tune(model, tokens["valid"], **reading)
        score = temperature.evaluate(model, tokens[split], best, **reading)
        return {**score._asdict(), "temperature": best}
    if method == "cache":
        found = cache.tune(model, tokens["valid"], **reading)
        score = cache.evaluate(model, tokens[split], found, **reading)
        settings = {"theta": found.theta, "lambda": found.weight, "window": found.window}
        return {**score._asdict(), **settings}
    start, precision = reading["start"], reading.get("precision", "32")
    rms = dynamic.gradient_rms(
        model, tokens["train"], start=start, segment=segment, precision=precision
    )
    chosen = dynamic.tune(
        model, tokens["valid"], rms, start=start, segment=segment, precision=precision
    )
    score = dynamic.evaluate(model, tokens[split], chosen, rms, start=start, precision=precision)
    return {**score._asdict(), **chosen._asdict()}
