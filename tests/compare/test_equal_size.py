"""Cores of equal size: the width that gives a model the weights of another one."""

import pytest

from relational_rnn.compare.equal_size import TOLERANCE, WIDTHS, count_weights, of_equal_size
from relational_rnn.config import load
from relational_rnn.errors import UserError
from relational_rnn.models.cores import CORES
from relational_rnn.registry import build_task_model


def config(**fields):
    return load("nth-farthest", {"objects": 4, "features": 4, "num_heads": 2, **fields})


def test_every_core_has_a_width():
    assert WIDTHS.keys() == CORES.keys()


def test_the_count_is_of_the_whole_model():
    small = config(head_size=4)
    weights = [parameter.numel() for parameter in build_task_model(small).parameters()]
    assert count_weights(small) == sum(weights)


@pytest.mark.parametrize("core", WIDTHS)
@pytest.mark.parametrize("weights", [250_000, 303_030, 2_000_000])
def test_within_the_tolerance_with_all_other_fields_as_before(core, weights):
    given = config(model=core)
    found = of_equal_size(given, weights)
    assert abs(count_weights(found) / weights - 1) <= TOLERANCE
    changed = {name for name, value in vars(found).items() if value != getattr(given, name)}
    assert changed <= set(WIDTHS[core])


def test_too_few_weights():
    with pytest.raises(UserError, match="lstm: no hidden_size gives 10 weights within 1%"):
        of_equal_size(config(model="lstm"), 10)
