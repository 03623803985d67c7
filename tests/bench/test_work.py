import pytest
import torch

from relational_rnn.bench.parts import PartedTraining
from relational_rnn.bench.rows import CPU_ROWS
from relational_rnn.bench.work import Core, Training, words

NAMES = [row.name for row in CPU_ROWS]


@pytest.mark.parametrize("row", NAMES)
def test_training_step_trains_and_leaves_no_gradient(tiny, row):
    training = Training(tiny(row))
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    state = training.state
    training.step()
    after = list(training.model.parameters())
    assert all((old != new).any() for old, new in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in after)
    assert (training.state[0] != state[0]).any()
    assert training.words_per_step == 12


@pytest.mark.parametrize("row", [name for name in NAMES if name != "plain model"])
def test_core_step_reaches_every_gradient(tiny, row):
    core = Core(tiny(row))
    found = set()
    for name, parameter in [("inputs", core.inputs), *core.core.named_parameters()]:
        parameter.register_hook(lambda gradient, name=name: found.add(name))
    core.step()
    assert found == {"inputs", *(name for name, _ in core.core.named_parameters())}
    assert core.inputs.grad is None


@pytest.mark.parametrize(
    "row", ["rmc fused bfloat16", "rmc fused float32", "lstm bfloat16", "lstm"]
)
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_parts_make_the_same_step(tiny, row, head):
    case = tiny(row, embedding_dropout=0.0, output_dropout=0.0, head=head)
    whole, parted = Training(case), PartedTraining(case)
    for _ in range(3):
        whole.step()
        laps = parted.parted_step()
    assert [*laps][:: len(laps) - 1] == ["data to tensors", "optimizer"]
    for one, other in zip(whole.model.parameters(), parted.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_parts_read_the_same_words(tiny):
    parted = PartedTraining(tiny("lstm"))
    tokens, targets = next(iter(parted.windows))
    assert tokens.equal(parted.tokens)
    assert targets.equal(parted.targets)


def test_words_are_frequent_and_rare(tiny):
    ids = words(tiny("lstm", vocabulary_size=1000), steps=200, batch_size=50)
    counts = torch.bincount(ids.flatten(), minlength=1000)
    assert ids.shape == (201, 50)
    assert counts[:10].sum() > counts[500:].sum() > 0


def test_micro_batches_make_the_same_step(tiny):
    sizes = {"batch_size": 4, "embedding_dropout": 0.0, "output_dropout": 0.0}
    whole, parted = (
        Training(tiny("rmc fused float32", micro_batch_size=size, **sizes)) for size in (None, 2)
    )
    for _ in range(3):
        whole.step()
        parted.step()
    torch.testing.assert_close(parted.state, whole.state)
    for one, other in zip(whole.model.parameters(), parted.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
