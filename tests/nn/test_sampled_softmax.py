"""Sampled softmax: who is drawn, that all words give the full loss, and where it pulls."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relational_rnn.nn import heads
from relational_rnn.nn.heads import SoftmaxHead
from relational_rnn.nn.sampled_softmax import draw_words
from relational_rnn.ops.linear_cross_entropy import linear_cross_entropy

WIDTH, WORDS = 8, 200


def zipf(words: int) -> Tensor:
    rank = torch.arange(1, words + 1, dtype=torch.float64)
    return ((rank + 1) / rank).log() / math.log(words + 1)


def head(**options: Any) -> SoftmaxHead:
    torch.manual_seed(0)
    made = SoftmaxHead(WIDTH, WORDS, tied_weight=None, **options)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def batch(rows: int = 40) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(rows, WIDTH), torch.multinomial(zipf(WORDS), rows, replacement=True)


def test_targets_are_drawn_and_found_again() -> None:
    torch.manual_seed(2)
    targets = torch.tensor([[3, -100], [199, 3]])
    words, log_inclusion, places = draw_words(targets, WORDS, 20, ignored=-100)
    assert places[0, 1] == -100
    counted = targets != -100
    assert torch.equal(words[places[counted]], targets[counted])
    assert torch.equal(words, words.unique())
    assert log_inclusion.shape == words.shape
    assert (log_inclusion <= 0).all()


def test_each_word_is_there_as_often_as_its_correction_says() -> None:
    torch.manual_seed(3)
    rounds, samples, count = 4000, 30, 15
    there = torch.zeros(WORDS, dtype=torch.float64)
    said = torch.zeros(WORDS, dtype=torch.float64)
    for _ in range(rounds):
        targets = torch.multinomial(zipf(WORDS), count, replacement=True)
        words, log_inclusion, _ = draw_words(targets, WORDS, samples, ignored=-100)
        there[words] += 1
        said[words] = log_inclusion.exp().double()
    # Four standard deviations of a frequency.
    assert ((there / rounds - said).abs() < 4 * (said * (1 - said) / rounds).sqrt() + 1e-9).all()


def test_products_of_all_batches_have_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def noted(hidden: Tensor, weight: Tensor, *arguments: Any, **options: Any) -> Tensor:
        shapes.append(tuple(weight.shape))
        return linear_cross_entropy(hidden, weight, *arguments, **options)

    monkeypatch.setattr(heads, "linear_cross_entropy", noted)
    torch.manual_seed(0)
    learner = SoftmaxHead(3, 900, tied_weight=None, samples=250).train()
    for _ in range(8):
        loss = learner.loss(torch.randn(20, 3), torch.randint(900, (20,)))
        loss.backward()
        assert loss.isfinite()
    assert set(shapes) == {(256, 3)}  # about 160 different words
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.parameters())


def test_as_many_samples_as_make_every_word_certain_are_the_full_softmax() -> None:
    hidden, targets = batch()
    full, sampled = head(), head(samples=WORDS**2)
    losses = [made.train().loss(hidden, targets) for made in (full, sampled)]
    torch.testing.assert_close(losses[0], losses[1])
    gradients = [
        torch.autograd.grad(loss, list(made.parameters()))
        for loss, made in zip(losses, (full, sampled), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_evaluation_uses_every_word() -> None:
    hidden, targets = batch()
    full, sampled = head().eval(), head(samples=5).eval()
    assert torch.equal(full.loss(hidden, targets), sampled.loss(hidden, targets))


def test_learns_the_distribution_that_the_full_softmax_learns() -> None:
    # A bias alone can learn the frequencies of the words. Without the correction the divergence
    # is 0.17; for the full softmax, with the noise of the targets, it is 0.003.
    torch.manual_seed(4)
    words, rows, steps = 50, 16, 1500
    learner = SoftmaxHead(1, words, tied_weight=nn.Parameter(torch.zeros(words, 1)), samples=10)
    optimizer = torch.optim.Adam([learner.bias], lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=steps)
    frequencies = zipf(words) ** 0.7  # flatter than what the samples are drawn by
    frequencies /= frequencies.sum()
    for _ in range(steps):
        targets = torch.multinomial(frequencies, rows, replacement=True)
        optimizer.zero_grad()
        learner.loss(torch.zeros(rows, 1), targets).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        learned = learner.log_probabilities(torch.zeros(1, 1))[0].double()
    divergence = (frequencies * (frequencies.log() - learned)).sum()
    assert divergence < 0.02, divergence


def test_does_not_go_with_what_needs_every_word() -> None:
    for options in ({"mixtures": 2}, {"label_smoothing": 0.1}):
        with pytest.raises(ValueError, match="samples=5"):
            head(samples=5, **options)
    with pytest.raises(ValueError, match="samples must be an integer of at least 0, got -1"):
        head(samples=-1)


def test_inclusion_of_rare_words_keeps_its_digits() -> None:
    words, samples, count = 267_735, 1000, 2240
    torch.manual_seed(5)
    drawn = draw_words(torch.full((count,), words - 1), words, samples, ignored=-100)
    rare = zipf(words)[drawn.words]
    keep = (samples * rare < 1).nonzero()[:, 0]
    missing = torch.log1p(-samples * rare[keep]) + count * torch.log1p(-rare[keep])
    expected = (-missing.expm1()).log()
    torch.testing.assert_close(drawn.log_inclusion[keep].double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_batch_without_a_target_has_no_loss(reduction: Any) -> None:
    made = head(samples=1).train()
    torch.manual_seed(0)
    for _ in range(20):  # in most of them no word is drawn
        loss = made.loss(batch(4)[0], torch.full((4,), -100), reduction=reduction)
        expected = torch.tensor(torch.nan if reduction == "mean" else 0.0)
        torch.testing.assert_close(loss, expected.expand_as(loss), equal_nan=True)


@pytest.mark.parametrize("target", [-1, WORDS])
def test_a_target_out_of_range_raises(target: int) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        head(samples=20).train().loss(batch(4)[0], torch.tensor([3, target, 5, 7]))
