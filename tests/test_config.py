"""Configurations: what is read, refused, and written again."""

import math
import re
from typing import get_args

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.cli import main
from relational_rnn.config import (
    TASKS,
    LanguageModelingConfig,
    TaggingConfig,
    load,
    save,
    shipped,
)
from relational_rnn.config.core import Backend
from relational_rnn.config.fields import Option, deciding, help_texts, options
from relational_rnn.errors import UserError
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.ops.relational_memory import BACKENDS

VOCABULARY = {"wikitext-2": 33_278, "wikitext-103": 267_735, "pydoc": 2_678}


def parameters(config, vocabulary_size):
    with torch.device("meta"):
        return sum(p.numel() for p in LanguageModel(config, vocabulary_size).parameters())


@pytest.mark.parametrize("name", list(shipped()))
def test_shipped_configurations_are_complete_and_have_an_effect(name):
    config = load(name)
    assert config.name == name
    written = yaml.safe_load(shipped()[name].read_text(encoding="utf-8"))
    assert not config.without_effect().keys() & written.keys()


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("wikitext2-rmc", 11.84),
        ("wikitext2-lstm", 10.74),
        ("wikitext2-rmc-10m", 10.71),
        ("wikitext103-rmc-paper", 214.97),
    ],
)
def test_parameter_counts(name, millions):
    config = load(name)
    assert parameters(config, VOCABULARY[config.data]) / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_small_rmc_is_no_larger_than_the_lstm():
    rmc, lstm = load("wikitext2-rmc-10m"), load("wikitext2-lstm")
    assert parameters(rmc, 33_278) <= parameters(lstm, 33_278)


def test_the_demo_compares_models_of_one_size():
    rmc, lstm = (parameters(load(f"demo-{model}"), 2_678) for model in ("rmc", "lstm"))
    assert lstm == pytest.approx(rmc, rel=0.002)


def test_the_published_hyper_parameters():
    rmc, lstm = load("wikitext2-rmc"), load("wikitext2-lstm")
    same = ("embedding_dropout", "output_dropout", "learning_rate", "clip", "batch_size", "bptt")
    for config in (rmc, lstm):
        assert [getattr(config, name) for name in same] == [0.5, 0.5, 0.001, 0.1, 64, 100]
        assert (config.optimizer, config.schedule, config.plateau_factor) == (
            "adam",
            "plateau",
            0.5,
        )
        assert config.tied
    sizes = (rmc.mem_slots, rmc.num_heads, rmc.head_size, rmc.key_size, rmc.attention_mlp_layers)
    assert sizes == (1, 4, 192, 64, 3)
    assert (rmc.embedding_size, lstm.embedding_size, lstm.hidden_size) == (192, 300, 300)


def test_a_task_gives_its_defaults():
    assert load("language-modeling") == LanguageModelingConfig(name="language-modeling")


def test_a_precision_may_be_a_number_in_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("precision: 32\n", encoding="utf-8")
    assert load(path) == LanguageModelingConfig(name="mine", precision="32")
    path.write_text("precision: 16\n", encoding="utf-8")
    with pytest.raises(UserError, match="precision: must be one of 32, bf16-mixed, got 16"):
        load(path)


def test_the_file_of_a_wrong_value_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    for content, said in (
        ("task: language-model", "task: must be one of"),
        ("seed: 3\nmodel: rm", "model: must be one of"),
        ("seed: -1", "seed: must be in"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=f"^{re.escape(str(path))}: {said}"):
            load(path)


def test_overrides_may_be_text():
    config = load(
        "language-modeling",
        {
            "mem_slots": "4",
            "gate_style": "null",
            "learning_rate": "1e-3",
            "betas": ["0.9", "0.99"],
            "head": "adaptive",
            "cutoffs": ["2000", "10000"],
            "clip": "null",
            "tied": "false",
        },
    )
    assert (config.mem_slots, config.gate_style, config.learning_rate) == (4, None, 0.001)
    assert (config.betas, config.cutoffs) == ((0.9, 0.99), [2000, 10000])
    assert (config.clip, config.tied) == (None, False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(
            {"mem_slot": 3}, "--mem-slot: unknown option; did you mean --mem-slots?", id="name"
        ),
        pytest.param({"mem_slots": "x"}, "mem_slots: must be an integer, got 'x'", id="type"),
        pytest.param({"mem_slots": 0}, "mem_slots: must be at least 1, got 0", id="zero"),
        pytest.param(
            {"muon_rms": 1e300}, r"muon_rms: must be at most 1e\+18 in size, got 1e\+300", id="huge"
        ),
        pytest.param(
            {"forget_bias": -1e39}, r"forget_bias: must be at most 1e\+18 in size", id="below"
        ),
        pytest.param({"start": ""}, "start: must be a name, got ''", id="no name"),
        pytest.param(
            {"gate_style": "x"}, "must be one of unit, memory, null, got 'x'", id="choice"
        ),
        pytest.param(
            {"output_dropout": 1.0}, r"output_dropout: must be in \[0, 1\), got 1.0", id="dropout"
        ),
        pytest.param({"betas": [0.9, 1.0]}, r"betas: must be in \[0, 1\), got", id="betas"),
        pytest.param({"betas": [0.9]}, "betas: must be 2 numbers, got", id="one-beta"),
        pytest.param({"cutoffs": [10]}, "cutoffs: .* needs head: adaptive", id="head"),
        pytest.param(
            {"head": "adaptive", "cutoffs": [9, 3]}, "increasing integers above 0", id="falling"
        ),
        pytest.param({"head": "adaptive", "cutoffs": []}, "increasing integers above 0", id="none"),
        pytest.param({"adaptive_input": True}, "adaptive_input: needs head: adaptive", id="input"),
        pytest.param({"head": "adaptive", "mixtures": 3}, "mixtures: 3 needs head", id="mixtures"),
        pytest.param(
            {"head": "adaptive", "softmax_samples": 9}, "softmax_samples: 9 needs head", id="drawn"
        ),
        pytest.param(
            {"label_smoothing": 0.1, "softmax_samples": 9},
            "softmax_samples: not with label_smoothing: 0.1",
            id="smoothed",
        ),
        pytest.param(
            {"batch_size": 7, "devices": 2},
            "batch_size: must be a number whose micro-.* got 7",
            id="processes",
        ),
        pytest.param({"batch_size": 8, "micro_batch_size": 3}, "a divisor of", id="micro-batch"),
        pytest.param({"learning_rate": 0}, "learning_rate: must be above 0, got 0.0", id="rate"),
        pytest.param({"forget_bias": math.nan}, "forget_bias: must be finite, got nan", id="nan"),
        pytest.param({"input_bias": "-.inf"}, "input_bias: must be finite, got -inf", id="bias"),
        pytest.param({"clip": math.inf}, "clip: must be finite, got inf", id="inf"),
        pytest.param({"clip": 10**400}, "clip: must be a number or null, got 1000.*0$", id="clip"),
        pytest.param({"bptt": 10**5000}, "bptt: must be at most 1,000,000, got a num", id="long"),
        pytest.param(
            {"head": "adaptive", "cutoffs": [5, 10**30]},
            r"cutoffs: must be at most 1,000,000,000, got \[5, 1000",
            id="cutoffs",
        ),
        pytest.param({"seed": -1}, "seed: must be in .*, got -1", id="seed"),
        pytest.param(
            {"schedule": "one-cycle", "warmup_steps": 5},
            "warmup_steps: must be 0 with .*, got 5",
            id="cycle",
        ),
    ],
)
def test_bad_values_are_refused_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as error:
        load("language-modeling", overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (task, name)
        for task, config_class in TASKS.items()
        for name, field in options(config_class).items()
        if "int" in str(field.hint)
    ],
)
def test_every_whole_number_has_a_limit(task, name):
    value = 10**30
    with pytest.raises(UserError, match=f"^{name}: must be (at most .*|in .*), got .*{value}"):
        load(task, {name: [value] if "list" in str(options(TASKS[task])[name].hint) else value})


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("language-modeling", "mem_slots", 10**5),
        ("language-modeling", "batch_size", 10**9),
        ("language-modeling", "num_layers", 10**7),
        ("memorization", "length", 10**7),
        ("nth-farthest", "objects", 10**6),
        ("nth-farthest", "valid_examples", 10**12),
    ],
)
def test_sizes_far_above_any_use_are_refused(task, name, value, capsys):
    assert main(["train", task, options(TASKS[task])[name].flag, str(value)]) == 2
    assert re.match(
        f"error: {name}: must be at most [0-9,]+, got {value}\n", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "fields", [{"schedule": "plateau"}, {"patience": 3}, {"averaging": "nt-asgd"}], ids=str
)
def test_what_waits_for_validations_takes_some(fields):
    with pytest.raises(UserError, match="needs validate_every"):
        load("memorization", fields)
    load("memorization", {**fields, "validate_every": 10})
    load("language-modeling", fields)  # it validates after each epoch


def test_files(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("task: language-modeling\nmem_slots: 3\nlearning_rate: 1e-3\n", "utf-8")
    config = load(file, {"mem_slots": 5})
    assert (config.name, config.mem_slots, config.learning_rate) == ("mine", 5, 0.001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("task: chess", "task: must be one of .*, got 'chess'", id="task"),
        pytest.param("mem_slot: 3", "mine.yaml: mem_slot: unknown field; did you mean", id="name"),
        pytest.param("- 3", "not a configuration; write lines of", id="list"),
        pytest.param("a: [", "not a YAML file", id="yaml"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match=message) as error:
        load(file)
    assert "\n" not in str(error.value)


def test_no_such_configuration(tmp_path):
    with pytest.raises(UserError, match=r"did you mean wikitext2-rmc\?"):
        load("wikitext2-rmm")
    with pytest.raises(UserError, match="no such configuration file"):
        load(tmp_path / "none.yaml")


@given(
    mem_slots=st.integers(1, 50),
    clip=st.none() | st.floats(1e-6, 10),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.9999)),
    gate_style=st.sampled_from(["unit", "memory", None]),
    data=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
)
def test_what_is_saved_is_loaded_again(tmp_path_factory, mem_slots, clip, betas, gate_style, data):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    config = LanguageModelingConfig(
        name="any", mem_slots=mem_slots, clip=clip, betas=betas, gate_style=gate_style, data=data
    )
    save(config, path)
    assert load(path) == config


def test_fields_without_effect_are_told():
    assert "hidden_size" in load("language-modeling").without_effect()
    lstm = load("language-modeling", {"model": "lstm"})
    assert {"mem_slots", "gate_style"} <= lstm.without_effect().keys()
    assert "hidden_size" not in lstm.without_effect()


def test_every_field_is_documented():
    for config_class in TASKS.values():
        documented = help_texts(config_class)
        for name in options(config_class):
            assert documented.get(name), name


@pytest.mark.parametrize("field", ["batch_size", "learning_rate", "betas", "optimizer", "tied"])
def test_null_is_for_fields_that_take_it(field):
    for null in (None, "null", ["null"]):
        with pytest.raises(UserError, match=f"{field}: must be .*, got "):
            load("language-modeling", {field: null})
    assert load("language-modeling", {"clip": None}).clip is None


def test_a_task_that_is_no_word(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("task: [nth-farthest]\n", "utf-8")
    with pytest.raises(UserError, match=r"task: must be .*, got \['nth-farthest'\]"):
        load(file)


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay"])
def test_infinity_is_refused(field):
    with pytest.raises(UserError, match=f"{field}: must be finite, got inf"):
        load("language-modeling", {field: float("inf")})


def test_each_field_is_in_one_group_of_the_help():
    for config_class in TASKS.values():
        hidden = {name for name, field in options(config_class).items() if field.group is None}
        assert hidden == {"task", "name"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objects": 3}, "--objects: not an option of language-modeling; nth-farthest has it"),
        ({"category": "copy"}, "of language-modeling; programs and memorization have it"),
        ({"zebra": 3}, "--zebra: unknown option$"),
    ],
)
def test_a_field_of_another_task_is_named(tmp_path, fields, message):
    with pytest.raises(UserError, match=message):
        load("language-modeling", fields)
    file = tmp_path / "mine.yaml"
    file.write_text("objects: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match="yaml: objects: not a field of language-modeling; nth"):
        load(file)


def test_what_may_change_on_resume():
    def resumable(task):
        return [name for name, field in options(TASKS[task]).items() if field.resumable]

    of_any_task = ["epochs", "max_steps", "checkpoint_every", "log_every"]
    of_any_task += ["device", "devices", "num_nodes", "threads"]
    assert resumable("programs") == of_any_task
    assert resumable("language-modeling") == [*of_any_task, "data"]


def test_what_a_checkpoint_records():
    core = [
        *("model", "num_layers", "residual", "skip", "mem_slots", "input_rows", "head_size"),
        *(
            "num_heads",
            "key_size",
            "num_blocks",
            "attention_mlp_layers",
            "gate_style",
            "gate_inputs",
        ),
        *("hidden_size", "feedforward_size", "attention_window"),
    ]
    own = {
        "language-modeling": [
            "embedding_size",
            "tied",
            "head",
            "cutoffs",
            "adaptive_input",
            "mixtures",
        ],
        "nth-farthest": ["objects", "features", "order"],
        "programs": ["length", "category", "nesting"],
        "memorization": ["length", "category"],
        "state-tracking": ["group", "modulus", "length", "train_length"],
        "associative-recall": ["vocabulary_size", "length", "pairs"],
    }
    for task, fields in own.items():
        if task == "language-modeling":
            assert deciding(TASKS[task], "model") == core + fields
        else:
            readout = ["readout_layers", "readout_size", "readout_norm"]
            if issubclass(TASKS[task], TaggingConfig):
                readout.append("embedding_size")
            assert deciding(TASKS[task], "model") == core + readout
            assert deciding(TASKS[task], "task") == ["task", *fields]


@pytest.mark.parametrize("threads", [None, 1, 8])
def test_threads(threads):
    assert load("memorization", {"threads": threads}).threads == threads
    with pytest.raises(UserError, match="threads: must be at least 1, got 0"):
        load("memorization", {"threads": 0})


@pytest.mark.parametrize(
    ("rules", "value", "wanted"),
    [
        ({"at_most": 3}, 4, "at most 3"),
        ({"below": 3}, 3, "below 3"),
        ({"at_least": 1}, 0, "at least 1"),
        ({"above": 1}, 1, "above 1"),
        ({"above": 1, "at_most": 3}, 4, r"in (1, 3]"),
    ],
)
def test_every_bound_is_checked_and_named(rules, value, wanted):
    field = Option(name="x", hint=int, default=2, **rules)
    field.check(2)
    assert field.range_in_words == wanted
    with pytest.raises(UserError, match=re.escape(f"x: must be {wanted}, got {value}")):
        field.check(value)


def test_a_transformer_is_for_generated_tasks():
    with pytest.raises(UserError, match="model: must be one of rmc, lstm, lstm-loop, gru, mingru"):
        load("language-modeling", {"model": "transformer"})
    assert load("nth-farthest", {"model": "transformer"}).model == "transformer"


def test_the_backends_are_those_of_the_operator():
    assert get_args(Backend) == ("auto", *BACKENDS)


def test_an_unknown_field_with_a_line_end_is_named_in_one_line(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text('task: programs\n"a\\nb": 1\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"odd\.yaml: a\\nb: unknown field") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)
