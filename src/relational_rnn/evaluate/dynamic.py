"""Dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018, arXiv 1709.07432, section 4).

The text is read in one stream, in segments of a few tokens. After a segment has been predicted, and
counted, its gradient adapts the weights to it, and they are drawn back to the trained ones:

    w <- w - learning_rate * g / (RMS + epsilon) + decay * RMS / mean(RMS) * (w_trained - w).

RMS is the root mean square of each weight's gradient over the training text. As in the authors'
code, the mean is that of the tensors' means, and no weight is drawn further than all the way back.
Not theirs: a tensor's step is held to a size that a trained model seldom asks for. One exploding
gradient would else ruin the weights for the rest of the text, and the next ones with them.
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
from .perplexity import Score
from .streaming import Tokens, as_ids

SEGMENT = 5  # tokens, the authors' choice; learning rate and decay grow with it in `tune`
EPSILON = 2e-5
STREAMS = 100
LARGEST = 2 * math.sqrt(STREAMS)
"""Root mean square of g / RMS in a tensor at most: twice that of one stream, whose gradient has
about sqrt(STREAMS) times the size of the mean of so many."""
LOOKED_AT = 250_000  # tokens of the training text: 500 batches of 5 tokens of each stream
LEARNING_RATES = (3e-5, 5e-5, 7e-5, 1e-4)
DECAYS = (1e-3, 2e-3, 3e-3, 5e-3)
LOWEST_RATE = 1e-9
TUNED_ON = 30_000  # tokens at the beginning of the text


class Dynamic(NamedTuple):
    """What the method has to be told."""

    learning_rate: float
    """Size of a step along the normalised gradient."""

    decay: float
    """How far the weights are drawn back in a step, for a weight of mean RMS."""

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
        tokens: ids of the text it was trained on; cut into 100 streams (fewer if it is short).
        start: id that stands before a text, ``<eos>``.
        segment: tokens of a stream in a batch.
        batches: number of batches to look at; None: as many as make 250,000 tokens.
        precision: "32" or "bf16-mixed".

    Returns:
        One tensor for each of ``model.parameters()``, of its shape.
    """
    model = copy.deepcopy(model)
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    streams = min(STREAMS, len(tokens))
    each = len(tokens) // streams
    columns = np.asarray(tokens)[: streams * each].reshape(streams, each)
    if batches is None:
        batches = max(1, LOOKED_AT // (STREAMS * segment))
    targets = as_ids(columns[:, : batches * segment].T)  # [L, B]

    def collect(losses: Tensor, first: int) -> None:
        for parameter, square in zip(parameters, squares, strict=True):
            if parameter.grad is not None:
                square += parameter.grad.square()

    seen = _segments(model, targets, collect, start=start, segment=segment, precision=precision)
    return [square.div_(seen).sqrt_() for square in squares]


def dynamic_losses(
    model: LanguageModel,
    tokens: Tokens,
    settings: Dynamic,
    rms: list[Tensor],
    *,
    start: int,
    precision: str = "32",
) -> Tensor:
    """Loss of every token, predicted with weights adapted to all segments before it.

    ``model`` itself is left as it is.

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
                if 0 < size < math.inf:  # and a number
                    largest = LARGEST * settings.learning_rate
                    parameter.sub_(step, alpha=min(1.0, largest / size))

    _segments(
        model,
        as_ids(tokens)[:, None],
        adapt,
        start=start,
        segment=settings.segment,
        precision=precision,
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

    The text must not be the one to be reported. The values tried are the authors', in proportion to
    the segment; where the lowest rate is the best, thirds of it too, until they no longer help:
    long segments bear less than that.
    """
    tokens = tokens[:TUNED_ON]
    scale = segment / SEGMENT

    @cache
    def loss(settings: Dynamic) -> float:
        losses = dynamic_losses(model, tokens, settings, rms, start=start, precision=precision)
        return Score.of(losses.nan_to_num(torch.inf, posinf=torch.inf)).loss

    rates = [Dynamic(rate * scale, DECAYS[1] * scale, segment) for rate in LEARNING_RATES]
    best = min(rates, key=loss)
    lower = rates[0]
    while best == lower and lower.learning_rate > LOWEST_RATE:
        lower = best._replace(learning_rate=best.learning_rate / 3)
        best = min(best, lower, key=loss)
        if loss(best) == torch.inf:  # not even this one is finite
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
) -> int:
    """Predict ``targets`` ``[L, B]`` segment by segment, memory carried; return their number.

    ``after`` gets the losses ``[T, B]`` and the place of the first once the gradient of their mean
    is there.
    """
    model.eval()
    device = next(model.parameters()).device
    targets = targets.to(device)
    inputs = torch.cat([torch.full_like(targets[:1], start), targets[:-1]])
    state: State = model.initial_state(targets.shape[1])
    low = precision == "bf16-mixed"
    firsts = range(0, len(targets), segment)
    for first in firsts:
        window = slice(first, first + segment)
        model.zero_grad(set_to_none=True)
        with (
            # cuDNN has no backward pass in evaluation mode, where dropout is off.
            torch.backends.cudnn.flags(enabled=False),
            autocast(device.type, low=low),
        ):
            losses, state = model.loss(inputs[window], targets[window], state, "none")
        torch.autograd.backward(losses.mean())
        state = tuple(tensor.detach() for tensor in state)
        after(losses.detach().float(), first)
    return len(firsts)
