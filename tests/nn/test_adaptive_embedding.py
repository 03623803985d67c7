"""Adaptive embedding: the vector of each word, its gradient, and words out of range."""

import pytest
import torch

from relational_rnn.nn.adaptive_embedding import AdaptiveEmbedding

WORDS, WIDTH, CUTOFFS = 30, 8, [4, 12]


@pytest.fixture
def embedding() -> AdaptiveEmbedding:
    torch.manual_seed(0)
    return AdaptiveEmbedding(WORDS, WIDTH, CUTOFFS, scale=0.1)


def test_widths_halve_with_each_cluster(embedding: AdaptiveEmbedding) -> None:
    assert [tuple(words.shape) for words in embedding.words] == [(4, 8), (8, 4), (18, 2)]
    with pytest.raises(ValueError, match=r"cutoffs must be .* from 1 to 29 .* got \[12, 4\]"):
        AdaptiveEmbedding(WORDS, WIDTH, [12, 4], scale=0.1)


def test_the_vector_of_each_word(embedding: AdaptiveEmbedding) -> None:
    found = embedding(torch.arange(WORDS).view(5, 6))
    assert found.shape == (5, 6, WIDTH)
    first, second, third = embedding.words
    one, two = (layer.weight for layer in embedding.projections)
    expected = torch.cat([first, second @ one.T, third @ two.T])
    torch.testing.assert_close(found.flatten(0, 1), expected)


def test_vectors_start_alike_in_all_clusters() -> None:
    torch.manual_seed(0)
    embedding = AdaptiveEmbedding(3_000, 64, [1_000, 2_000], scale=0.1)
    vectors = embedding(torch.arange(3_000)).detach()
    of_clusters = [part.std() / (0.1 / 3**0.5) for part in vectors.split(1_000)]
    assert all(abs(ratio - 1) < 0.1 for ratio in of_clusters), of_clusters


def test_only_the_words_that_occur_have_a_gradient(embedding: AdaptiveEmbedding) -> None:
    embedding(torch.tensor([1, 5, 5, 29])).sum().backward()
    places = [words.grad.abs().sum(1).nonzero().flatten() for words in embedding.words]
    assert [place.tolist() for place in places] == [[1], [1], [17]]


@pytest.mark.parametrize("token", [-1, WORDS, 10 * WORDS])
def test_a_word_out_of_range_raises(embedding: AdaptiveEmbedding, token: int) -> None:
    with pytest.raises(IndexError):
        embedding(torch.tensor([0, token]))
