"""Continue a text, word by word."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from .models.language_model import LanguageModel
from .tasks.language_modeling import Vocabulary

COLDEST = 1e-30  # a temperature that float32 still has; lower ones draw the same word


def generate(
    model: LanguageModel,
    vocabulary: Vocabulary,
    *,
    words: int = 100,
    prompt: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> Iterator[str]:
    """Yield words drawn one after another, each as soon as it is drawn.

    The model reads ``<eos>`` and the prompt first, with an empty memory. Words are drawn from its
    own distribution: ``<unk>`` and ``<eos>`` (a new line) come as they would in its training text.

    Args:
        model: in evaluation mode, on the device of its parameters.
        vocabulary: the model's.
        words: how many to draw.
        prompt: text to continue, words parted by blanks.
        temperature: above 0; below 1 likely words become likelier.
        top_k: draw from this many of the likeliest words only.
        top_p: draw from the likeliest words that together have this probability only (nucleus
            sampling, Holtzman et al. 2019), after ``top_k``.
        seed: the same seed, the same words, on any device up to rounding.

    Raises:
        ValueError: an argument out of its range, before anything is drawn.
        UserError: a word of the prompt is not in the vocabulary, which has no ``<unk>``.
    """
    if words < 1:
        raise ValueError(f"words is {words}; it takes 1 or more")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it takes a number above 0")
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; it takes a whole number from 0 to 2**63 - 1")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it takes 1 or more")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it takes a number above 0, at most 1")
    read = [vocabulary.eos, *vocabulary.encode(prompt.split(), where="the prompt").tolist()]
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)

    def draw(tokens: list[int]) -> Iterator[str]:
        device = next(model.parameters()).device
        state = model.initial_state(1)
        for _ in range(words):
            # Not around the loop: what runs between two words is the caller's.
            with torch.no_grad():
                hidden, state = model.features(torch.tensor(tokens, device=device)[:, None], state)
                scores = model.head.log_probabilities(hidden[-1, 0]).float().cpu()  # [V]
                scores -= scores.max()  # the largest is 0, and stays finite when it is divided
                shares = _shares(scores / max(temperature, COLDEST), top_k, top_p)
                tokens = [int(torch.multinomial(shares, 1, generator=generator))]
            yield vocabulary.words[tokens[0]]

    return draw(read)


def as_text(words: Iterable[str]) -> Iterator[str]:
    """Yield the pieces that, written one after another, show words as lines of text."""
    before = ""
    for word in words:
        if word == "<eos>":
            yield "\n"
            before = ""
        else:
            yield before + word
            before = " "


def _shares(scores: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Probabilities ``[V]`` of the words that may be drawn, 0 for the others."""
    if top_k is not None and top_k < len(scores):
        likeliest = scores.topk(top_k).indices
        scores = torch.full_like(scores, -torch.inf).scatter(0, likeliest, scores[likeliest])
    shares = scores.softmax(0)
    if top_p is not None:
        ordered, words = shares.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        shares = shares.scatter(0, words, ordered.where(before < top_p, 0.0))
    return shares
