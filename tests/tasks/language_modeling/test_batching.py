import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling.batching import Windows, streams

RANDOM = [
    pytest.param({}, id="plain"),
    pytest.param({"random_bptt": True}, id="bptt"),
    pytest.param({"random_offset": True}, id="offset"),
    pytest.param({"random_bptt": True, "random_offset": True}, id="both"),
]
SIZES = {
    "tokens": st.integers(2, 300),
    "batch_size": st.integers(1, 8),
    "bptt": st.integers(1, 40),
    "options": st.sampled_from([option.values[0] for option in RANDOM]),
}


def text(tokens):
    return np.arange(tokens, dtype=np.uint16)


def make(tokens, batch_size, bptt, options, **more):
    tokens = max(tokens, 2 * batch_size)
    return Windows(streams(text(tokens), batch_size), bptt=bptt, **options, **more)


def lists(batches):
    return [(inputs.tolist(), targets.tolist()) for inputs, targets in batches]


def test_streams_go_on_down_the_columns():
    assert streams(text(11), 3).tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_streams_are_a_view():
    tokens = text(11)
    assert np.shares_memory(streams(tokens, 3), tokens)


def test_a_text_shorter_than_a_batch():
    with pytest.raises(
        UserError, match=r"text of 15 tokens is shorter than one batch: .* needs at least 16"
    ):
        streams(text(15), 8)


def test_windows_by_hand():
    batches = list(Windows(streams(text(14), 2), bptt=4))
    assert lists(batches) == [
        ([[0, 7], [1, 8], [2, 9], [3, 10]], [[1, 8], [2, 9], [3, 10], [4, 11]]),
        ([[4, 11], [5, 12]], [[5, 12], [6, 13]]),
    ]
    assert batches[0][0].dtype == batches[0][1].dtype == torch.int64


@given(**SIZES)
def test_windows_give_the_text_back(tokens, batch_size, bptt, options):
    loader = make(tokens, batch_size, bptt, options)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader)
        inputs = torch.cat([inputs for inputs, _ in batches])
        targets = torch.cat([targets for _, targets in batches])
        assert all(len(inputs) for inputs, _ in batches)
        assert torch.equal(inputs[1:], targets[:-1])
        read = torch.cat([inputs[:1], targets]).numpy()
        assert read.shape == loader.streams.shape
        for column, stream in zip(read.T, loader.streams.T, strict=True):
            start = int(column[0] - stream[0])
            assert start == 0 or "random_offset" in options
            assert np.roll(stream, -start).tolist() == column.tolist()


@given(**SIZES, seed=st.integers(0, 5), data=st.data())
def test_a_saved_position_goes_on_with_the_same_windows(
    tokens, batch_size, bptt, options, seed, data
):
    loader = make(tokens, batch_size, bptt, options, seed=seed)
    stop = data.draw(st.integers(0, 2 * len(loader)))
    expected = []
    state = loader.state_dict()
    for _ in range(3):
        for batch in loader:
            expected.append(batch)
            if len(expected) == stop:
                state = loader.state_dict()

    resumed = make(tokens, batch_size, bptt, options, seed=seed)
    resumed.load_state_dict(state)
    rest = [batch for _ in range(3) for batch in resumed]
    assert lists(rest)[: len(expected) - stop] == lists(expected[stop:])
    assert resumed.epoch == 3 + stop // len(loader)


@given(**SIZES, world_size=st.integers(1, 4))
def test_ranks_share_out_the_global_batch(tokens, batch_size, bptt, options, world_size):
    size = {"tokens": tokens, "batch_size": batch_size * world_size, "bptt": bptt}
    whole = make(**size, options=options)
    ranks = [
        make(**size, options=options, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert {len(rank) for rank in ranks} == {len(whole)}
    for batch, *parts in zip(whole, *ranks, strict=True):
        for together, shares in zip(batch, zip(*parts, strict=True), strict=True):
            assert torch.equal(torch.stack(shares, dim=2).flatten(1), together)
    assert all(rank.state_dict() == whole.state_dict() for rank in ranks)


def test_random_windows_vary_about_bptt_and_from_epoch_to_epoch():
    loader = Windows(streams(text(60_001), 1), bptt=70, random_bptt=True)
    first, second = ([len(inputs) for inputs, _ in loader] for _ in range(2))
    assert first != second
    assert len(first) == len(second) == 858
    assert sum(first) == 60_000
    assert np.median(first) == pytest.approx(70, rel=0.05)
    assert 0.02 < np.mean(np.array(first) < 50) < 0.09  # one in twenty has half the length


def test_random_offsets_differ_between_streams_epochs_and_seeds():
    def starts(**options):
        loader = Windows(streams(text(8000), 8), bptt=500, random_offset=True, **options)
        return [next(iter(loader))[0][0].tolist(), list(loader), next(iter(loader))[0][0].tolist()]

    first, _, second = starts()
    assert len({token % 1000 for token in first}) > 4
    assert first != second
    assert first == starts()[0]
    assert first != starts(seed=1)[0]


def test_a_position_that_does_not_exist():
    loader = Windows(streams(text(14), 2), bptt=4)
    with pytest.raises(ValueError, match="done must be below 2, got 2"):
        loader.load_state_dict({"epoch": 0, "done": 2})


def test_a_batch_that_cannot_be_shared_out():
    with pytest.raises(UserError, match="batch_size must be a multiple of the 4 processes, got 6"):
        Windows(streams(text(60), 6), bptt=5, world_size=4)


def test_bptt_must_be_positive():
    with pytest.raises(ValueError, match="bptt must be at least 1, got 0"):
        Windows(streams(text(60), 6), bptt=0)
