"""Training windows without end."""

from itertools import islice

import numpy as np
import pytest
import torch

from relational_rnn.tasks.language_modeling.batching import Windows, streams
from relational_rnn.train.stream import TrainingStream


def stream(parts=1, **options):
    ids = streams(np.arange(4 * 23, dtype=np.uint16), 4)
    return TrainingStream(Windows(ids, bptt=5, **options), parts)


def test_epochs_follow_each_other():
    batches = list(islice(iter(stream()), 12))  # 22 targets a stream: 5 windows an epoch
    assert [batch.epoch for batch in batches] == [0] * 5 + [1] * 5 + [2] * 2
    assert [batch.first for batch in batches] == ([True] + [False] * 4) * 2 + [True, False]
    assert [batch.last for batch in batches] == ([False] * 4 + [True]) * 2 + [False, False]
    assert [batch.amount for batch in batches[:5]] == [5, 5, 5, 5, 2]
    assert torch.equal(batches[0].inputs, batches[5].inputs)


def test_parts_make_up_the_window():
    whole = next(iter(stream()))
    parts = list(islice(iter(stream(parts=2)), 2))
    assert [part.part for part in parts] == [0, 1]
    assert torch.equal(torch.cat([part.inputs for part in parts], dim=1), whole.inputs)
    assert torch.equal(torch.cat([part.targets for part in parts], dim=1), whole.targets)


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 13])
@pytest.mark.parametrize("parts", [1, 2])
def test_goes_on_from_a_saved_position(steps, parts):
    options = {"random_bptt": True, "random_offset": True, "seed": 3}
    one = stream(parts, **options)
    batches = iter(one)
    list(islice(batches, steps * parts))
    other = stream(parts, **options)
    other.load_state_dict(one.state_dict())
    for batch, same in zip(islice(batches, 14), iter(other), strict=False):
        assert batch[2:] == same[2:]
        assert torch.equal(batch.inputs, same.inputs)
        assert torch.equal(batch.targets, same.targets)
