import pytest

from relational_rnn.bench.cases import CORES, CPU_VARIANTS, MODELS, VARIANTS, Case
from relational_rnn.bench.work import Training


def test_published_core():
    config = Case(name="rmc reference").config(CORES)
    assert (config.mem_slots, config.num_heads, config.head_size, config.key_size) == (
        1,
        4,
        192,
        64,
    )
    assert (config.attention_mlp_layers, config.embedding_size) == (3, 192)
    assert (config.batch_size, config.bptt) == (64, 100)


@pytest.mark.parametrize("name", ["rmc fused bfloat16", "lstm", "plain model"])
def test_whole_models_have_equal_numbers_of_weights(name):
    parameters = Training(Case(name=name)).model.parameters()
    assert sum(parameter.numel() for parameter in parameters) == pytest.approx(10.74e6, rel=5e-3)


def test_variant_and_overrides_reach_the_configuration():
    config = Case(name="rmc reference", overrides={"mem_slots": 4}).config(MODELS)
    assert (config.backend, config.mem_slots, config.model) == ("reference", 4, "rmc")
    assert Case(name="lstm-loop").config(CORES).model == "lstm-loop"


def test_names_are_their_own():
    assert len({variant.name for variant in CPU_VARIANTS}) == len(CPU_VARIANTS)
    assert all(VARIANTS[name].name == name for name in VARIANTS)
