"""Heads: probabilities that sum to one, losses that agree with them, torch's adaptive softmax."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relational_rnn.nn.adaptive_embedding import AdaptiveEmbedding
from relational_rnn.nn.heads import AdaptiveSoftmaxHead, SoftmaxHead, default_cutoffs

WIDTH, WORDS = 8, 50


def softmax(**options: Any) -> SoftmaxHead:
    head = SoftmaxHead(WIDTH, WORDS, **{"tied_weight": None, **options})
    nn.init.normal_(head.bias)
    nn.init.normal_(head.weight)
    return head


HEADS = {
    "softmax": softmax,
    "tied": lambda: softmax(tied_weight=nn.Parameter(torch.empty(WORDS, WIDTH))),
    "mixture": lambda: softmax(mixtures=3),
    "adaptive": lambda: AdaptiveSoftmaxHead(WIDTH, WORDS, [10, 25]),
    "adaptive-tied": lambda: AdaptiveSoftmaxHead(
        WIDTH, WORDS, [10, 25], tied=AdaptiveEmbedding(WORDS, WIDTH, [10, 25], scale=1.0)
    ),
    "adaptive-one-tail": lambda: AdaptiveSoftmaxHead(WIDTH, WORDS, [49]),
}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> SoftmaxHead | AdaptiveSoftmaxHead:
    torch.manual_seed(0)
    return HEADS[request.param]().double()


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(6, 4, WIDTH, generator=generator, dtype=torch.float64)
    return hidden.to(dtype), torch.randint(WORDS, (6, 4), generator=generator)


def test_probabilities_sum_to_one(head: Any) -> None:
    total = head.log_probabilities(batch()[0]).logsumexp(-1)
    torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-12, rtol=0)


@pytest.mark.parametrize("ignored", [0, 5])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_loss_and_gradients_agree_with_the_probabilities(
    head: Any, reduction: str, ignored: int
) -> None:
    hidden, targets = batch()
    hidden.requires_grad_()
    targets.view(-1)[:ignored] = -100
    expected = F.nll_loss(
        head.log_probabilities(hidden).flatten(0, 1), targets.flatten(), reduction=reduction
    )
    expected = expected.view_as(targets) if reduction == "none" else expected
    actual = head.loss(hidden, targets, reduction=reduction)
    torch.testing.assert_close(actual, expected)
    cotangent = torch.randn(expected.shape, dtype=torch.float64)
    wanted = [hidden, *head.parameters()]
    for one, other in zip(
        torch.autograd.grad(actual, wanted, cotangent),
        torch.autograd.grad(expected, wanted, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_runs_under_autocast_with_a_float32_loss(head: Any) -> None:
    head.float()
    hidden, targets = batch(torch.float32)
    exact = head.loss(hidden, targets)
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(hidden, targets)
        log_probabilities = head.log_probabilities(hidden)
    loss.backward()
    assert loss.dtype == log_probabilities.dtype == torch.float32
    torch.testing.assert_close(loss, exact, atol=0, rtol=0.01)
    chosen = log_probabilities.gather(-1, targets[..., None])
    torch.testing.assert_close(-chosen.mean(), exact, atol=0, rtol=0.01)
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize(
    ("width", "words", "cutoffs"),
    [
        pytest.param(16, 50, [10, 25], id="two-tails"),
        pytest.param(64, 301, [7, 20, 300], id="three-tails-last-of-one-word"),
        pytest.param(5, 9, [1], id="shortlist-of-one-word"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_adaptive_equals_torch(
    width: int, words: int, cutoffs: list[int], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    peer = nn.AdaptiveLogSoftmaxWithLoss(width, words, cutoffs).to(dtype)
    head = AdaptiveSoftmaxHead(width, words, cutoffs).to(dtype)
    head.load_state_dict(peer.state_dict())
    hidden = torch.randn(40, width, dtype=dtype, requires_grad=True)
    targets = torch.randint(words, (40,))
    targets[: len(cutoffs)] = torch.tensor(cutoffs)  # no tail without a target
    torch.testing.assert_close(head.log_probabilities(hidden), peer.log_prob(hidden))
    expected = peer(hidden, targets)
    torch.testing.assert_close(head.loss(hidden, targets, reduction="none"), -expected.output)
    loss = head.loss(hidden, targets)
    torch.testing.assert_close(loss, expected.loss)
    actual = torch.autograd.grad(loss, [hidden, *head.parameters()])
    wanted = torch.autograd.grad(expected.loss, [hidden, *peer.parameters()])
    for one, other in zip(actual, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_a_tail_without_targets_has_a_zero_gradient() -> None:
    head = AdaptiveSoftmaxHead(WIDTH, WORDS, [10, 25])
    head.loss(torch.randn(3, WIDTH), torch.tensor([0, 9, 3])).backward()
    for parameter in head.tail.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_a_tied_adaptive_head_shares_the_vectors_of_the_embedding() -> None:
    embedding = AdaptiveEmbedding(WORDS, WIDTH, [10, 25], scale=1.0)
    head = AdaptiveSoftmaxHead(WIDTH, WORDS, [10, 25], tied=embedding)
    own = sum(x.numel() for x in head.parameters()) - sum(x.numel() for x in embedding.words)
    assert own == 2 * WIDTH + WIDTH * 4 + WIDTH * 2  # entries and projections of the tails
    untied = AdaptiveSoftmaxHead(WIDTH, WORDS, [10, 25])
    for words, (_, layer) in zip(embedding.words[1:], head.tail, strict=True):
        assert layer.weight is words
    with torch.no_grad():
        untied.head.weight.copy_(torch.cat((embedding.words[0], head.head.weight)))
    hidden, _ = batch(torch.float32)
    torch.testing.assert_close(
        head.log_probabilities(hidden)[..., :10], untied.log_probabilities(hidden)[..., :10]
    )


@pytest.mark.parametrize(
    ("width", "words", "cutoffs"),
    [(WIDTH + 1, WORDS, [10, 25]), (WIDTH, WORDS + 1, [10, 25]), (WIDTH, WORDS, [9, 25])],
    ids=["width", "vocabulary", "cutoffs"],
)
def test_an_embedding_that_does_not_fit_is_refused(
    width: int, words: int, cutoffs: list[int]
) -> None:
    embedding = AdaptiveEmbedding(words, width, cutoffs, scale=1.0)
    with pytest.raises(ValueError, match=r"tied must have width 8 and clusters that end"):
        AdaptiveSoftmaxHead(WIDTH, WORDS, [10, 25], tied=embedding)


def test_mixture_is_the_weighted_mean_of_its_softmaxes() -> None:
    head = softmax(mixtures=2).double()
    hidden = batch()[0]
    prior = head.prior(hidden).softmax(-1)
    latent = head.latent(hidden).tanh()
    expected = sum(
        prior[..., k, None] * F.linear(part, head.weight, head.bias).softmax(-1)
        for k, part in enumerate(latent.chunk(2, -1))
    )
    torch.testing.assert_close(head.log_probabilities(hidden).exp(), expected)


def test_label_smoothing_is_for_training_only() -> None:
    head = softmax(label_smoothing=0.1).double()
    hidden, targets = batch()
    logits = F.linear(hidden, head.weight, head.bias).flatten(0, 1)
    for training, smoothing in ((True, 0.1), (False, 0.0)):
        expected = F.cross_entropy(logits, targets.flatten(), label_smoothing=smoothing)
        torch.testing.assert_close(head.train(training).loss(hidden, targets), expected)


def test_tied_weight_is_the_embedding_s() -> None:
    embedding = nn.Embedding(WORDS, WIDTH)
    assert softmax(tied_weight=embedding.weight).weight is embedding.weight
    with pytest.raises(ValueError, match=r"tied_weight must have shape \[50, 8\], got \[50, 9\]"):
        softmax(tied_weight=nn.Embedding(WORDS, 9).weight)


@pytest.mark.parametrize(
    "cutoffs",
    [[], [0, 10], [20, 10], [10, 10], [10, 50], [60]],
    ids=["none", "zero", "falling", "twice", "end", "beyond"],
)
def test_bad_cutoffs_are_named(cutoffs: list[int]) -> None:
    with pytest.raises(ValueError, match="from 1 to 49") as caught:
        AdaptiveSoftmaxHead(WIDTH, WORDS, cutoffs)
    assert str(cutoffs) in str(caught.value)


def test_shapes_and_reductions_that_do_not_fit_are_refused(head: Any) -> None:
    hidden, targets = batch()
    for wrong in (targets.t(), targets[0]):
        with pytest.raises(ValueError, match=r"targets.* must have shapes"):
            head.loss(hidden, wrong)
    with pytest.raises(ValueError, match=r"reduction must be .* got 'max'"):
        head.loss(hidden, targets, reduction="max")


def test_features_of_an_ignored_target_do_not_matter(head: Any) -> None:
    hidden, targets = batch()
    targets[2, 1] = -100
    spoilt = hidden.clone()
    spoilt[2, 1] = torch.nan
    spoilt.requires_grad_()
    loss = head.loss(spoilt, targets)
    torch.testing.assert_close(loss, head.loss(hidden, targets))
    loss.backward()
    assert spoilt.grad.isfinite().all()


@pytest.mark.parametrize("target", [-1, WORDS])
def test_a_target_out_of_range_raises(head: Any, target: int) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        head.loss(batch()[0], torch.full((6, 4), target))


@pytest.mark.parametrize("words", [2, 3, 5, 17, 1000, 33_278, 267_735])
def test_default_cutoffs_fit_every_vocabulary(words: int) -> None:
    cutoffs = default_cutoffs(words)
    AdaptiveSoftmaxHead(1, words, cutoffs)
    if words > 1000:
        edges = [*cutoffs, words]
        for low, high in pairwise(edges):
            assert math.isclose(high / low, 4, rel_tol=1e-2)


def test_other_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="mixtures must be an integer of at least 1, got 0"):
        softmax(mixtures=0)
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got 1"):
        softmax(label_smoothing=1)
    with pytest.raises(ValueError, match="mixtures=2"):
        softmax(mixtures=2, label_smoothing=0.1)
