"""Generate text word by word.

``vocabulary.tokenizer.as_text`` makes a text of the words.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import UserError
from .models.language_model import LanguageModel
from .tasks.language_modeling import Vocabulary, read_prompt

COLDEST, HOTTEST = 1e-30, 1e30  # float32 can represent these; beyond, the words drawn are the same

ALTERNATIVES = 10


class Drawn(NamedTuple):
    """A word that was drawn.

    Attributes:
        word: it.
        probability: of this word by the model, whatever the temperature and the cut-offs.
        alternatives: the likeliest words with their probabilities, the likeliest first.
    """

    word: str
    probability: float
    alternatives: list[tuple[str, float]]


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
    without_unknown: bool = False,
) -> Iterator[Drawn]:
    """Sample words one after another; each is yielded as soon as it is drawn.

    The model first reads the prompt (see :func:`.read_prompt`), starting from an empty memory.
    Words are drawn from its full distribution, which includes ``<unk>`` and ``<eos>`` (a new line).

    Args:
        model: in evaluation mode; runs on the device of its parameters.
        vocabulary: the vocabulary of the model.
        words: number of words to draw.
        prompt: text to continue, read by the vocabulary's tokenizer; a line end is ``<eos>``.
        temperature: above 0; values below 1 favour likely words.
        top_k: draw from the k most likely words only.
        top_p: draw from the most likely words with this total probability only (nucleus sampling,
            Holtzman et al. 2019); applied after ``top_k``.
        seed: equal seeds give equal words, on any device, apart from rounding.
        without_unknown: never draw ``<unk>``.

    Raises:
        ValueError: an argument is out of range; raised before anything is drawn.
        UserError: the prompt has a word that is not in a vocabulary without ``<unk>``, or is not
            UTF-8; while drawing, the model's scores are not numbers.
    """
    if words < 1:
        raise ValueError(f"words must be at least 1, got {words}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be finite and above 0, got {temperature}")
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2**63 - 1, got {seed}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    read = read_prompt(prompt, vocabulary).ids
    excluded = vocabulary.unknown if without_unknown else None
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)

    def draw(tokens: list[int]) -> Iterator[Drawn]:
        device = next(model.parameters()).device
        state = model.initial_state(1)
        for _ in range(words):
            # Not around the loop: the caller's code between two words must not run under no_grad.
            with torch.no_grad():
                hidden, state = model.features(torch.tensor(tokens, device=device)[:, None], state)
                scores = model.head.log_probabilities(hidden[-1, 0]).float().cpu()  # [V]
            probabilities = scores.exp()
            tokens = [
                draw_word(
                    scores,
                    generator,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    excluded=excluded,
                )
            ]
            best_shares, best_words = probabilities.topk(min(ALTERNATIVES, len(probabilities)))
            likeliest = [vocabulary.words[number] for number in best_words.tolist()]
            yield Drawn(
                vocabulary.words[tokens[0]],
                probabilities[tokens[0]].item(),
                list(zip(likeliest, best_shares.tolist(), strict=True)),
            )

    return draw(read)


def draw_word(
    scores: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    excluded: int | None = None,
) -> int:
    """Draw the id of a word.

    Args:
        scores: log-probabilities ``[V]`` of all words, float32 on the CPU; not modified.
        generator: draws the word.
        temperature: as of :func:`generate`, like the next two.
        top_k: see there.
        top_p: see there.
        excluded: id of a word that is never drawn.

    Raises:
        UserError: the scores are not numbers.
    """
    if excluded is not None:
        scores = scores.clone()
        scores[excluded] = -torch.inf
    best = scores.max()
    if not best.isfinite():
        raise UserError(
            f"the model: its scores are {best.item()}, so no word can be drawn; its "
            "weights are damaged or have diverged, use those of another run"
        )
    scores = scores - best  # the maximum is 0, which stays finite when divided
    shares = _shares(scores / min(max(temperature, COLDEST), HOTTEST), top_k, top_p)
    return int(torch.multinomial(shares, 1, generator=generator))


def _shares(scores: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Probabilities ``[V]`` to draw with: 0 for words that are excluded."""
    if top_k is not None and top_k < len(scores):
        likeliest = scores.topk(top_k).indices
        scores = torch.full_like(scores, -torch.inf).scatter(0, likeliest, scores[likeliest])
    shares = scores.softmax(0)
    if top_p is not None:
        ordered, words = shares.sort(descending=True)
        kept = ordered.cumsum(0) - ordered < top_p
        kept[0] = True  # a top_p below the smallest float32 is rounded to 0
        shares = shares.scatter(0, words, ordered.where(kept, 0.0))
    return shares
