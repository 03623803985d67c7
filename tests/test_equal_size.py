"""Cores of equal size: the width that gives a model the weights of another one."""

from dataclasses import replace

import pytest

from relational_rnn.config import load
from relational_rnn.equal_size import (
    TOLERANCE,
    WIDTHS,
    count_weights,
    nearest_size,
    of_equal_size,
)
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


def test_fewer_weights_than_the_narrowest_core_has():
    with pytest.raises(UserError, match="lstm: the narrowest core gives 198,992 weights, more"):
        of_equal_size(config(model="lstm"), 10)


def test_no_width_is_near_enough():
    fields = {"model": "lstm", "readout_layers": 0}  # so that only the width is left
    weights = count_weights(config(hidden_size=3, **fields)) + 20
    with pytest.raises(UserError, match="lstm: no hidden_size gives"):
        of_equal_size(config(**fields), weights)
    assert nearest_size(config(**fields), weights).hidden_size in (3, 4)


TEXT = {"vocabulary_size": 50, "eos": 3}


@pytest.mark.parametrize("core", ["rmc", "lstm", "gru", "mingru"])
def test_a_language_model_is_as_near_as_any_width(core):
    given = load("language-modeling", {"model": core, "embedding_size": 32, "num_heads": 2})
    width = WIDTHS[core][0]
    counts = {n: count_weights(replace(given, **{width: n}), **TEXT) for n in range(4, 60)}
    for weights in range(6_000, 20_000, 701):
        best = min(abs(count - weights) for count in counts.values())
        found = nearest_size(given, weights, **TEXT)
        off = abs(count_weights(found, **TEXT) - weights)
        assert off <= max(best, TOLERANCE * weights)


@pytest.mark.parametrize(
    ("core", "embedding"), [("gru", 33), ("lstm", 33), ("lstm", 100), ("rmc", 66)]
)
def test_a_width_that_needs_no_projection_is_found(core, embedding):
    given = load("language-modeling", {"model": core, "embedding_size": embedding, "num_heads": 2})
    width = 33 if core == "rmc" else embedding
    weights = count_weights(replace(given, **{WIDTHS[core][0]: width}), **TEXT)
    found = count_weights(nearest_size(given, weights, **TEXT), **TEXT)
    assert abs(found / weights - 1) <= TOLERANCE


def test_the_size_of_a_text_counts():
    given = load("language-modeling", {"head": "adaptive", "cutoffs": [10, 20]})
    sizes = [count_weights(given, vocabulary_size=size, eos=0) for size in (50, 500)]
    assert sizes[0] < sizes[1]
    with pytest.raises(UserError, match="cutoffs"):
        count_weights(given, vocabulary_size=15, eos=0)
