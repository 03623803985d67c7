"""Dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018, arXiv 1709.07432, section 4).

The text is read as one stream, in segments of a few tokens. After a segment has been predicted and
its loss recorded, its gradient g adapts the weights, which also decay towards the trained ones:

    w <- w - learning_rate * g / (RMS + epsilon) + decay * RMS / mean(RMS) * (w_trained - w).

RMS is the root mean square of each weight's gradient over the training text. As in the authors'
code, mean(RMS) is the mean of the means of all tensors, and the decay rate of a weight is at most
1. Unlike in their code, the step of a tensor is limited to a size that a trained model rarely
reaches: a single exploding gradient would otherwise ruin the weights for the rest of the text.
"""

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.cores import State
from ..models.language_model import LanguageModel
from ..ops.precision import autocast
from ..progress import progress
from .perplexity import Score
from .streaming import Tokens, as_ids

SEGMENT = 5  # tokens, the authors' choice; `tune` scales learning rate and decay with it
EPSILON = 2e-5
STREAMS = 100
LARGEST = 2 * math.sqrt(STREAMS)
"""Limit of the root mean square of g / RMS in a tensor: twice its value for one stream, whose
gradient is about sqrt(STREAMS) times as large as the mean over STREAMS streams."""
STATISTICS_TOKENS = 250_000  # of the training text: 500 batches of 5 tokens per stream
LEARNING_RATES = (3e-5, 5e-5, 7e-5, 1e-4)
DECAYS = (1e-3, 2e-3, 3e-3, 5e-3)
LOWEST_RATE = 1e-9
TUNING_TOKENS = 30_000  # at the start of the text


class Dynamic(NamedTuple):
    """Settings of dynamic evaluation."""

    learning_rate: float
    """Step size along the normalized gradient."""

    decay: float
    """Decay rate per step towards the trained weights, for a weight of mean RMS."""

    segment: int = SEGMENT
    """Tokens between two steps."""


def gradient_rms(
    model: LanguageModel,
    tokens: Tokens,
    *,
    start: int,
    segment: int = SEGMENT,
    batches: int | None = None,
    precision: str = "32",
) -> list[Tensor]:
    """Root mean square of the gradient of each parameter over a training text.

    Args:
        model: a trained language model.
        tokens: ids of the training text; split into 100 streams (fewer if it is short).
        start: id that precedes a text, ``<eos>``.
        segment: tokens per stream and batch.
        batches: number of batches; default: as many as make 250,000 tokens.
        precision: "32" or "bf16-mixed".

    Returns:
        One tensor for each of ``model.parameters()``, of the same shape.
    """
    model = copy.deepcopy(model)
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    streams = min(STREAMS, len(tokens))
    each = len(tokens) // streams
    columns = np.asarray(tokens)[: streams * each].reshape(streams, each)
    if batches is None:
        batches = max(1, STATISTICS_TOKENS // (STREAMS * segment))
    targets = as_ids(columns[:, : batches * segment].T)  # [L, B]

    def collect(losses: Tensor, first: int) -> None:
        for parameter, square in zip(parameters, squares, strict=True):
            if parameter.grad is not None:
                square += parameter.grad.square()

    seen = _segments(
        model,
        targets,
        collect,
        start=start,
        segment=segment,
        precision=precision,
        title="gradient statistics",
    )
    return [square.div_(seen).sqrt_() for square in squares]


def dynamic_losses(
    model: LanguageModel,
    tokens: Tokens,
    settings: Dynamic,
    rms: list[Tensor],
    *,
    start: int,
    precision: str = "32",
    title: str = "dynamic evaluation",
) -> Tensor:
    """Loss of every token, predicted with weights adapted to all segments before it.

    Args:
        model: a trained language model; it is not modified.
        tokens: ids ``[N]`` of the text.
        settings: learning rate, decay and segment.
        rms: from :func:`gradient_rms`.
        start: id that precedes the text, ``<eos>``.
        precision: "32" or "bf16-mixed".
        title: of the progress display.

    Returns:
        ``[N]`` in nats.
    """
    model = copy.deepcopy(model)
    parameters = list(model.parameters())
    trained = [parameter.detach().clone() for parameter in parameters]
    mean = torch.stack([one.mean() for one in rms]).mean()
    pulls = [(settings.decay / mean * one).clamp(max=1) for one in rms]
    rates = [settings.learning_rate / (one + EPSILON) for one in rms]
    losses = torch.empty(len(tokens))

    @torch.no_grad()
    def adapt(found: Tensor, first: int) -> None:
        losses[first : first + len(found)] = found.squeeze(1).cpu()
        for parameter, goal, pull, rate in zip(parameters, trained, pulls, rates, strict=True):
            if parameter.grad is not None:
                parameter.lerp_(goal, pull)
                step = parameter.grad.mul_(rate)
                size = float(step.square().mean().sqrt())
                if 0 < size < math.inf:  # excludes NaN
                    largest = LARGEST * settings.learning_rate
                    parameter.sub_(step, alpha=min(1.0, largest / size))

    _segments(
        model,
        as_ids(tokens)[:, None],
        adapt,
        start=start,
        segment=settings.segment,
        precision=precision,
        title=title,
    )
    return losses


def tune(
    model: LanguageModel,
    tokens: Tokens,
    rms: list[Tensor],
    *,
    start: int,
    segment: int = SEGMENT,
    precision: str = "32",
) -> Dynamic:
    """The best learning rate, then the best decay, on the first 30,000 tokens of a text.

    The text must not be the text to report on. The values tried are the authors', scaled with the
    segment. If the lowest learning rate is the best, it is divided by three until that no longer
    helps: long segments need lower rates.
    """
    tokens = tokens[:TUNING_TOKENS]
    scale = segment / SEGMENT

    @cache
    def loss(settings: Dynamic) -> float:
        title = (
            "tuning dynamic evaluation "
            f"(learning rate {settings.learning_rate:.3g}, decay {settings.decay:.3g})"
        )
        losses = dynamic_losses(
            model, tokens, settings, rms, start=start, precision=precision, title=title
        )
        return Score.of(losses.nan_to_num(torch.inf, posinf=torch.inf)).loss

    rates = [Dynamic(rate * scale, DECAYS[1] * scale, segment) for rate in LEARNING_RATES]
    best = min(rates, key=loss)
    lower = rates[0]
    while best == lower and lower.learning_rate > LOWEST_RATE:
        lower = best._replace(learning_rate=best.learning_rate / 3)
        best = min(best, lower, key=loss)
        if loss(best) == torch.inf:  # no loss is finite yet
            best = lower
    return min((best._replace(decay=decay * scale) for decay in DECAYS), key=loss)


def evaluate(
    model: LanguageModel,
    tokens: Tokens,
    settings: Dynamic,
    rms: list[Tensor],
    *,
    start: int,
    precision: str = "32",
) -> Score:
    """Perplexity under dynamic evaluation."""
    return Score.of(dynamic_losses(model, tokens, settings, rms, start=start, precision=precision))


def _segments(
    model: LanguageModel,
    targets: Tensor,
    after: Callable[[Tensor, int], None],
    *,
    start: int,
    segment: int,
    precision: str,
    title: str,
) -> int:
    """Predict ``targets`` ``[L, B]`` in segments, carrying the memory; return their number.

    After each backward pass, ``after`` is called with the losses ``[T, B]`` of the segment and the
    index of its first token.
    """
    model.eval()
    device = next(model.parameters()).device
    targets = targets.to(device)
    inputs = torch.cat([torch.full_like(targets[:1], start), targets[:-1]])
    state: State = model.initial_state(targets.shape[1])
    low = precision == "bf16-mixed"
    firsts = range(0, len(targets), segment)
    with progress(title, targets.numel(), unit="tokens") as advance:
        for first in firsts:
            window = slice(first, first + segment)
            model.zero_grad(set_to_none=True)
            with (
                # cuDNN has no backward pass in evaluation mode, which turns dropout off.
                torch.backends.cudnn.flags(enabled=False),
                autocast(device.type, low=low),
            ):
                losses, state = model.loss(inputs[window], targets[window], state, "none")
            torch.autograd.backward(losses.mean())
            state = tuple(tensor.detach() for tensor in state)
            after(losses.detach().float(), first)
            advance(losses.numel())
    return len(firsts)
