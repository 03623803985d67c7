"""Sampled softmax: a training loss over a random subset of the vocabulary."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Drawn(NamedTuple):
    """The words of a loss; they include all targets."""

    words: Tensor  # [S] int64, increasing
    log_inclusion: Tensor  # [S], log-probability that each word is included
    targets: Tensor  # as given, as indices into `words`


def draw_words(targets: Tensor, vocabulary_size: int, samples: int, ignored: int) -> Drawn:
    """Draw the words for one batch (Jean et al. 2015, "On using very large target vocabulary").

    Word c is drawn with probability ``min(1, samples * q(c))``, independently of the others, and is
    included if it is a target. q is Zipf's law for words in order of decreasing frequency,
    ``q(c) = log((c + 2) / (c + 1)) / log(V + 1)``, and the n targets are assumed to follow it too.
    The softmax over the included words of ``logit - log_inclusion`` then has the same optimum as
    the softmax over all words (Bengio & Senecal 2008). Targets that follow another distribution
    bias it a little, the more so the fewer words are drawn.

    Args:
        targets: ``[...]`` int64 in ``0..V-1`` or `ignored`.
        vocabulary_size: V.
        samples: expected number of draws as long as no word has ``samples * q(c) > 1``.
        ignored: the value of a target that is ignored.
    """
    counted = targets != ignored
    rank = torch.arange(1, vocabulary_size + 1, device=targets.device, dtype=torch.float32)
    zipf = torch.log1p(1 / rank) / math.log(vocabulary_size + 1)  # [V]
    drawn = (samples * zipf).clamp(max=1)
    # 1 - (1 - drawn) (1 - zipf)^n, in logarithms: otherwise rare words would lose their digits
    log_excluded = torch.log1p(-drawn) + torch.special.xlog1py(counted.sum(), -zipf)
    inclusion = -torch.expm1(log_excluded)
    included = torch.rand_like(drawn) < drawn
    included.scatter_(0, targets[counted], True)  # raises if a target is out of range
    included[0] |= ~included.any()  # a softmax needs one word, even if all targets are ignored
    words = included.nonzero()[:, 0]
    place = included.cumsum(0) - 1
    places = torch.where(counted, place[targets.clamp(min=0)], ignored)
    return Drawn(words, inclusion[words].log(), places)
