import pytest

from relational_rnn.bench.rows import CORES, CPU_ROWS, MODELS, ROWS, Case
from relational_rnn.bench.work import Core, Floor, Training


def test_published_core():
    config = Case(row="rmc reference").config(CORES)
    assert (config.mem_slots, config.num_heads, config.head_size, config.key_size) == (
        1,
        4,
        192,
        64,
    )
    assert (config.attention_mlp_layers, config.embedding_size) == (3, 192)
    assert (config.batch_size, config.bptt) == (64, 100)


@pytest.mark.parametrize("row", ["rmc fused bfloat16", "lstm", "plain model"])
def test_whole_models_have_equal_numbers_of_weights(row):
    parameters = Training(Case(row=row)).model.parameters()
    assert sum(parameter.numel() for parameter in parameters) == pytest.approx(10.74e6, rel=5e-3)


def test_row_and_overrides_reach_the_configuration():
    config = Case(row="rmc reference", overrides={"mem_slots": 4}).config(MODELS)
    assert (config.backend, config.mem_slots, config.model) == ("reference", 4, "rmc")
    assert Case(row="lstm-loop").config(CORES).model == "lstm-loop"


def test_names_are_their_own():
    assert len({row.name for row in CPU_ROWS}) == len(CPU_ROWS)
    assert all(ROWS[name].name == name for name in ROWS)


def flops(work):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_floor_of_the_lstm_is_the_products_of_its_loop(tiny):
    core = Core(tiny("lstm-loop"))
    # The loop forms no gradient of the state that it starts from.
    first = 2 * 4 * 32 * 8
    assert flops(Floor(core).step) == flops(core.step) + first


@pytest.mark.parametrize("slots", [1, 3])
def test_floor_of_the_rmc(tiny, slots):
    steps, batch, size, inputs, layers = 3, 4, 8, 8, 3
    qkv, gates = 2 * (2 * 3 + 4), 2 * size
    with_memory = batch * slots * size * (qkv + layers * size + gates)
    with_input = batch * inputs * (qkv + gates)
    # Each product three times: forward, back to its input, back to its weight.
    expected = 3 * 2 * steps * (with_memory + with_input)
    assert flops(Floor(Core(tiny("rmc reference", mem_slots=slots))).step) == expected
