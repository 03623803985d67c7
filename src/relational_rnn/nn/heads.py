"""Output heads: log-probabilities of words from hidden features, and their loss.

Letters: E width of the features, V vocabulary size, K mixtures. The losses never materialise the
logits of all rows (`ops.linear_cross_entropy`).
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.linear_cross_entropy import Reduction, check_reduction, linear_cross_entropy
from .adaptive_embedding import AdaptiveEmbedding
from .arguments import check_count, check_cutoffs, check_share
from .sampled_softmax import draw_words

UNTIED_RANGE = 0.1  # uniform, like the embedding
TAIL_SHRINKS = 4  # factor by which each tail is narrower than the one before (Grave et al., 4.3)
ALIGNED_WORDS = 256  # the words of a sampled softmax are filled up to a multiple of this
IGNORED = -100  # a target without loss, as in `torch.nn.functional.cross_entropy`


def default_cutoffs(vocabulary_size: int) -> list[int]:
    """Cutoffs at a sixteenth and a quarter of the vocabulary.

    Each cluster then ends at four times the index of the one before, and is a fourth as wide.
    WikiText-103's 267,735 words get 16,733 and 66,933; Baevski & Auli 2019 chose 20,000 and 60,000
    by hand.
    """
    return sorted({max(1, vocabulary_size // 16), max(1, vocabulary_size // 4)})


def _check_arguments(hidden: Tensor, targets: Tensor, reduction: str) -> None:
    if hidden.shape[:-1] != targets.shape:
        raise ValueError(
            "hidden and targets must have shapes [..., E] and [...], got "
            f"{list(hidden.shape)} and {list(targets.shape)}"
        )
    check_reduction(reduction)


def _log_softmax(logits: Tensor) -> Tensor:
    return F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)


class SoftmaxHead(nn.Module):
    """Softmax over the whole vocabulary, or a mixture of several.

    Args:
        embedding_size: E.
        vocabulary_size: V.
        tied_weight: the embedding's weight ``[V, E]`` to share (Press & Wolf 2017, Inan et al.
            2017), or None for a separate weight.
        mixtures: number K of softmaxes in the mixture (Yang et al. 2018); 1 is plain softmax.
        label_smoothing: the share of the target spread evenly over all words, in training mode
            only (Szegedy et al. 2016, section 7).
        samples: words drawn for a sampled softmax, in training mode only (`sampled_softmax`); 0 for
            the whole vocabulary.

    Raises:
        ValueError: for a `tied_weight` of another shape, or an argument out of range.
    """

    def __init__(
        self,
        embedding_size: int,
        vocabulary_size: int,
        *,
        tied_weight: nn.Parameter | None,
        mixtures: int = 1,
        label_smoothing: float = 0.0,
        samples: int = 0,
    ) -> None:
        super().__init__()
        shape = (vocabulary_size, embedding_size)
        if tied_weight is not None and tied_weight.shape != shape:
            raise ValueError(
                f"tied_weight must have shape {list(shape)}, got {list(tied_weight.shape)}"
            )
        check_count("mixtures", mixtures)
        check_share("label_smoothing", label_smoothing)
        check_count("samples", samples, least=0)
        if mixtures > 1 and (label_smoothing or samples):
            raise ValueError(
                f"label_smoothing and samples must be 0 with {mixtures=}, got {label_smoothing=} "
                f"and {samples=}"
            )
        if label_smoothing and samples:
            raise ValueError(f"samples must be 0 with {label_smoothing=}, got {samples=}")
        self.mixtures = mixtures
        self.label_smoothing = label_smoothing
        self.samples = samples
        if tied_weight is None:
            tied_weight = nn.Parameter(torch.empty(shape))
            nn.init.uniform_(tied_weight, -UNTIED_RANGE, UNTIED_RANGE)
        self.weight = tied_weight
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        if mixtures > 1:
            self.latent = nn.Linear(embedding_size, mixtures * embedding_size)
            self.prior = nn.Linear(embedding_size, mixtures, bias=False)

    def loss(self, hidden: Tensor, targets: Tensor, *, reduction: Reduction = "mean") -> Tensor:
        """Negative log-likelihood in nats.

        Args:
            hidden: ``[..., E]``.
            targets: ``[...]`` int64; -100 is ignored: no loss, not counted.
            reduction: ``"mean"``, ``"sum"`` or ``"none"``.

        Returns:
            A scalar or ``[...]``, float32 (float64 for float64 `hidden`).

        Raises:
            ValueError: for shapes that do not match, or an unknown reduction.
        """
        if self.mixtures == 1:
            weight: Tensor = self.weight
            bias: Tensor = self.bias
            if self.training and self.samples:
                words, log_inclusion, targets = draw_words(
                    targets, len(weight), self.samples, IGNORED
                )
                # Products of one shape are compiled once, those of each batch's own in each step.
                extra = -len(words) % ALIGNED_WORDS
                words = F.pad(words, (0, extra))
                log_inclusion = F.pad(log_inclusion, (0, extra), value=math.inf)  # probability 0
                weight, bias = F.embedding(words, weight), bias[words] - log_inclusion
            return linear_cross_entropy(
                hidden,
                weight,
                bias,
                targets,
                ignore_index=IGNORED,
                reduction=reduction,
                label_smoothing=self.label_smoothing if self.training else 0.0,
            )
        _check_arguments(hidden, targets, reduction)
        counted = targets != IGNORED
        features, log_prior = self._mixture(hidden[counted])  # [R, K, E], [R, K]
        each = linear_cross_entropy(
            features,
            self.weight,
            self.bias,
            targets[counted, None].expand(log_prior.shape),
            reduction="none",
        )  # [R, K]
        losses = -torch.logsumexp(log_prior - each, dim=-1)
        if reduction == "none":
            return losses.new_zeros(targets.shape).masked_scatter(counted, losses)
        return losses.mean() if reduction == "mean" else losses.sum()

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Log-probability of every word: ``[..., E]`` to ``[..., V]`` float32 (or float64)."""
        if self.mixtures == 1:
            return _log_softmax(F.linear(hidden, self.weight, self.bias))
        features, log_prior = self._mixture(hidden)
        total = log_prior.new_full((*hidden.shape[:-1], len(self.weight)), -torch.inf)
        for k in range(self.mixtures):  # one at a time: V is large
            part = _log_softmax(F.linear(features[..., k, :], self.weight, self.bias))
            total = torch.logaddexp(total, part + log_prior[..., k : k + 1])
        return total

    def _mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each softmax ``[..., K, E]`` and its log-probability ``[..., K]``."""
        features = self.latent(hidden).tanh().unflatten(-1, (self.mixtures, -1))
        return features, _log_softmax(self.prior(hidden))


class AdaptiveSoftmaxHead(nn.Module):
    """Adaptive softmax (Grave et al. 2017) for words in order of decreasing frequency.

    The head has the words before the first cutoff and one entry for each tail; each tail, the words
    between two cutoffs, is narrower than the one before. The parameters have the names, and the
    outputs the values, of `torch.nn.AdaptiveLogSoftmaxWithLoss`. This module also runs under
    autocast, and never materialises the logits of a tail.

    With an adaptive embedding to share (Baevski & Auli 2019, section 3) its vectors are the weights
    of the words: `shortlist` before the first cutoff, and `head` has the entries of the tails only.

    Args:
        embedding_size: E.
        vocabulary_size: V.
        cutoffs: index of the first word of each tail, increasing.
        tied: the embedding to share, of the same width and cutoffs, or None for separate weights.

    Raises:
        ValueError: for cutoffs that do not increase within ``1..V-1``, or an embedding of another
            width, vocabulary or other cutoffs.
    """

    def __init__(
        self,
        embedding_size: int,
        vocabulary_size: int,
        cutoffs: Sequence[int],
        *,
        tied: AdaptiveEmbedding | None = None,
    ) -> None:
        super().__init__()
        check_cutoffs(cutoffs, vocabulary_size)
        self.cutoffs = [*cutoffs, vocabulary_size]
        if tied is not None and (tied.edges[1:], tied.embedding_dim) != (
            self.cutoffs,
            embedding_size,
        ):
            raise ValueError(
                f"tied must have width {embedding_size} and clusters that end at {self.cutoffs}, "
                f"got {tied.embedding_dim} and {tied.edges[1:]}"
            )
        entries = len(cutoffs) if tied is not None else cutoffs[0] + len(cutoffs)
        self.head = nn.Linear(embedding_size, entries, bias=False)
        self.shortlist = None if tied is None else tied.words[0]
        self.tail = nn.ModuleList()
        for number, (low, high) in enumerate(pairwise(self.cutoffs), 1):
            width = max(1, embedding_size // TAIL_SHRINKS**number)
            if tied is not None:
                width = tied.words[number].shape[1]
            words = nn.Linear(width, high - low, bias=False)
            if tied is not None:
                words.weight = tied.words[number]
            self.tail.append(nn.Sequential(nn.Linear(embedding_size, width, bias=False), words))

    def loss(self, hidden: Tensor, targets: Tensor, *, reduction: Reduction = "mean") -> Tensor:
        """Negative log-likelihood in nats; arguments and result as in `SoftmaxHead.loss`."""
        _check_arguments(hidden, targets, reduction)
        flat, rows = targets.flatten(), hidden.reshape(-1, hidden.shape[-1])
        edges = torch.tensor(self.cutoffs, device=flat.device)
        cluster = torch.bucketize(flat, edges, right=True)  # [R], 0 is the head
        shortlist = self.cutoffs[0]
        entry = torch.where(cluster == 0, flat, shortlist + cluster - 1)
        inner: Reduction = "none" if reduction == "none" else "sum"
        total = linear_cross_entropy(
            rows, self._head_weight(), None, entry, ignore_index=IGNORED, reduction=inner
        )
        tails = cast(Iterable[tuple[nn.Linear, nn.Linear]], self.tail)
        for number, (projection, words) in enumerate(tails):
            # A tail without targets is computed too: its gradient is zero, not None.
            here = (cluster == number + 1).nonzero()[:, 0]
            inside = linear_cross_entropy(
                projection(rows[here]),
                words.weight,
                None,
                flat[here] - self.cutoffs[number],
                reduction=inner,
            )
            total = total + inside if inner == "sum" else total.index_add(0, here, inside)
        total = total.view_as(targets) if inner == "none" else total
        return total / (flat != IGNORED).sum() if reduction == "mean" else total

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Log-probability of every word: ``[..., E]`` to ``[..., V]`` float32 (or float64)."""
        head = _log_softmax(F.linear(hidden, self._head_weight()))
        shortlist = self.cutoffs[0]
        parts = [head[..., :shortlist]]
        for number, tail in enumerate(self.tail):
            entry = head[..., shortlist + number, None]
            parts.append(entry + _log_softmax(tail(hidden)))
        return torch.cat(parts, dim=-1)

    def _head_weight(self) -> Tensor:
        """Of the words before the first cutoff, then of the tails' entries: ``[_, E]``."""
        own = self.head.weight
        return own if self.shortlist is None else torch.cat((self.shortlist, own))
