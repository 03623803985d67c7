"""Ranks, their correlation, the order of trials and the axes of their picture."""

import numpy as np
import pytest

from relational_rnn.report.outcomes import ranks, spearman


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks([30, 10, 30, 20]) == [3.5, 1, 3.5, 2]
    assert ranks([5, 5, 5]) == [2, 2, 2]
    assert ranks([]) == []


def test_a_worked_example_without_ties():
    # With all ranks different, rho is 1 - 6 * sum(d^2) / (n * (n^2 - 1)).
    first = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    second = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    differences = np.subtract(ranks(first), ranks(second))
    assert differences @ differences == 194
    assert spearman(first, second) == pytest.approx(1 - 6 * 194 / (10 * 99))


def test_a_worked_example_with_ties():
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4, less their mean 2.5: 4.5 / sqrt(4.5 * 5).
    assert spearman([1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / 22.5**0.5)


def test_orders_that_agree_and_that_do_not():
    assert spearman([1, 2, 3], [10, 20, 99]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


@pytest.mark.parametrize("first", [[], [1.0], [2.0, 2.0]])
def test_no_order_at_all(first):
    assert spearman(first, list(range(len(first)))) is None
