"""Sampled softmax: a few words stand for the vocabulary in the training loss."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Drawn(NamedTuple):
    """The words that a loss is formed over, the targets always among them."""

    words: Tensor  # [S] int64, rising
    log_inclusion: Tensor  # [S] logarithm of the probability with which each is there
    targets: Tensor  # as given, but as places in `words`


def draw_words(targets: Tensor, vocabulary_size: int, samples: int, ignored: int) -> Drawn:
    """Draw the words for one batch (Jean et al. 2015, "On using very large target vocabulary").

    Word c is drawn with probability ``min(1, samples * q(c))``, each apart from the others, and is
    there too if it is a target. For words numbered by falling frequency, q is Zipf's law,
    ``q(c) = log((c + 2) / (c + 1)) / log(V + 1)``, and n targets are taken to follow it as well.
    The softmax over the drawn words of ``logit - log_inclusion`` then has its optimum where the
    softmax over all words has it (Bengio & Senecal 2008). Targets whose frequencies follow another
    law pull it away a little, the more the fewer words are drawn.

    Args:
        targets: ``[...]`` int64 in ``0..V-1`` or `ignored`.
        vocabulary_size: V.
        samples: words to draw, as many as ``samples * q`` adds up to where none is certain.
        ignored: the target that is none.
    """
    counted = targets != ignored
    rank = torch.arange(1, vocabulary_size + 1, device=targets.device, dtype=torch.float32)
    zipf = torch.log1p(1 / rank) / math.log(vocabulary_size + 1)  # [V]
    drawn = (samples * zipf).clamp(max=1)
    # 1 - (1 - drawn) (1 - zipf)^n; as it stands, that would lose the digits of rare words
    missing = torch.log1p(-drawn) + torch.special.xlog1py(counted.sum(), -zipf)
    inclusion = -torch.expm1(missing)
    there = torch.rand_like(drawn) < drawn
    there.scatter_(0, targets[counted], True)  # which raises where a target is none
    there[0] |= ~there.any()  # a softmax takes a word, even if no target counts
    words = there.nonzero()[:, 0]
    place = there.cumsum(0) - 1
    places = torch.where(counted, place[targets.clamp(min=0)], ignored)
    return Drawn(words, inclusion[words].log(), places)
