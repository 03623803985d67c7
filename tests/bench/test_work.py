import pytest
import torch

from relational_rnn.bench.cases import CPU_VARIANTS
from relational_rnn.bench.work import Core, Floor, Training, words

NAMES = [variant.name for variant in CPU_VARIANTS]


@pytest.mark.parametrize("name", NAMES)
def test_training_step_trains_and_leaves_no_gradient(tiny, name):
    training = Training(tiny(name))
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    state = training.state
    training.step()
    after = list(training.model.parameters())
    assert all((old != new).any() for old, new in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in after)
    assert (training.state[0] != state[0]).any()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plain model"])
def test_core_step_reaches_every_gradient(tiny, name):
    core = Core(tiny(name))
    found = set()
    for name, parameter in [("inputs", core.inputs), *core.core.named_parameters()]:
        parameter.register_hook(lambda gradient, name=name: found.add(name))
    core.step()
    assert found == {"inputs", *(name for name, _ in core.core.named_parameters())}
    assert core.inputs.grad is None


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
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)  # three steps of Adam


def flops(work):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_floor_of_the_lstm_is_the_products_of_its_loop(tiny):
    core = Core(tiny("lstm-loop"))
    # The loop forms no gradient of the state that it starts from.
    first = 2 * 4 * 128 * 32
    assert flops(Floor(core).step) == flops(core.step) + first


@pytest.mark.parametrize("slots", [1, 3])
def test_floor_of_the_rmc(tiny, slots):
    steps, batch, size, inputs, layers = 3, 4, 32, 32, 3
    qkv, gates = 2 * (2 * 3 + 16), 2 * size
    with_memory = batch * slots * size * (qkv + layers * size + gates)
    with_input = batch * inputs * (qkv + gates)
    # Each product three times: forward, back to its input, back to its weight.
    expected = 3 * 2 * steps * (with_memory + with_input)
    floor = Floor(Core(tiny("rmc reference", mem_slots=slots)))
    assert flops(floor.step) == expected
    assert floor.multiply_adds == with_memory + with_input
