"""Word vectors that are narrower for rarer words."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_cutoffs

SHRINKS = 2
"""Factor by which the vectors of each cluster are narrower than those of the one before."""


class AdaptiveEmbedding(nn.Module):
    """Adaptive input representations (Baevski & Auli 2019, section 3).

    For words in order of decreasing frequency. The words before the first cutoff have vectors of
    the full width E; those of each cluster, the words between two cutoffs, are half as wide as in
    the one before, and a linear layer brings them to E. (The paper divides the width by 4, and has
    a linear layer for the first words too.)

    Args:
        vocabulary_size: V.
        embedding_size: E.
        cutoffs: index of the first word of each cluster, increasing.
        scale: the vectors are drawn uniformly from ``[-scale, scale]``.

    Raises:
        ValueError: for cutoffs that do not increase within ``1..V-1``.
    """

    def __init__(
        self, vocabulary_size: int, embedding_size: int, cutoffs: Sequence[int], *, scale: float
    ) -> None:
        super().__init__()
        check_cutoffs(cutoffs, vocabulary_size)
        self.num_embeddings, self.embedding_dim = vocabulary_size, embedding_size
        self.edges = [0, *cutoffs, vocabulary_size]
        self.words = nn.ParameterList()  # [words of the cluster, its width]
        self.projections = nn.ModuleList()  # of all clusters but the first words
        for number, (low, high) in enumerate(pairwise(self.edges)):
            width = max(1, embedding_size // SHRINKS**number)
            words = nn.Parameter(torch.empty(high - low, width))
            self.words.append(nn.init.uniform_(words, -scale, scale))
            if number:
                projection = nn.Linear(width, embedding_size, bias=False)
                nn.init.normal_(projection.weight, std=width**-0.5)  # keeps the scale
                self.projections.append(projection)

    def forward(self, tokens: Tensor) -> Tensor:
        """The vectors of ``tokens`` ``[...]`` int64: ``[..., E]``."""
        # A word out of range is one for the first or the last cluster, where the look-up raises.
        embedded = F.embedding(tokens.clamp(max=self.edges[1] - 1), self.words[0])
        clusters = zip(pairwise(self.edges[1:]), self.words[1:], self.projections, strict=True)
        for (low, high), words, projection in clusters:
            # every token in every cluster: they are narrow, and shapes do not depend on the tokens
            last = high == self.num_embeddings
            place = (tokens - low).clamp(min=0, max=None if last else high - low - 1)
            own = projection(F.embedding(place, words))
            inside = ((tokens >= low) & (tokens < high)).unsqueeze(-1)
            embedded = torch.where(inside, own, embedded)
        return embedded
