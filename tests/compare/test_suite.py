"""A suite's file: its content, and every mistake reported before anything is trained."""

import pytest

from relational_rnn.compare.suite import Cell, read_suite, shipped
from relational_rnn.equal_size import TOLERANCE, count_weights
from relational_rnn.errors import UserError


def test_a_suite(make_suite):
    suite = make_suite()
    assert (suite.name, suite.seeds, suite.learning_rates) == ("tiny", [1, 2, 3], [0.01, 0.001])
    assert suite.thresholds == {"parity": 0.72}
    assert len(suite.cells) == 12
    assert suite.cells[0] == Cell("parity", "rmc", 0.01, 1)
    assert [cell.seed for cell in suite.cells] == [1] * 4 + [2] * 4 + [3] * 4
    config = suite.config(3, {})
    assert (config.model, config.learning_rate, config.seed) == ("lstm", 0.001, 1)
    assert (config.name, config.max_steps, config.length) == ("parity-lstm-0.001-1", 10, 16)
    assert len({cell.name for cell in suite.cells}) == 12


def test_fields_of_the_task_win_over_the_core_and_those_over_all(make_suite):
    tasks = {"parity": {"base": "state-tracking", "fields": {"num_heads": 3}}}
    cores = {"rmc": {"head_size": 12, "num_heads": 2, "batch_size": 5}}
    config = make_suite(tasks=tasks, cores=cores).config(0, {})
    assert (config.num_heads, config.batch_size, config.max_steps) == (3, 5, 10)


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_compare_equal_cores_on_equal_examples(name):
    suite = read_suite(name)
    assert len(suite.learning_rates) == 3
    assert len(suite.seeds) == 3
    for configs in suite.configs.values():
        linear = ["mingru"] if name == "memory" else []
        assert list(configs) == ["rmc", "lstm", "gru", *linear, "transformer"]
        weights = [count_weights(config) for config in configs.values()]
        assert max(weights) - min(weights) <= 2 * TOLERANCE * weights[0]
        assert all(abs(each / weights[0] - 1) <= TOLERANCE for each in weights)
        for field in ("batch_size", "max_steps", "threads", "precision", "schedule", "optimizer"):
            assert len({getattr(config, field) for config in configs.values()}) == 1, field
        assert {config.threads for config in configs.values()} == {1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cores": {}}, "cores: must not be empty"),
        ({"cores": {"lsmt": {}}}, "cores: lsmt: unknown; did you mean lstm?"),
        ({"cores": []}, r"cores: must be a mapping with one of rmc, .*, got \[\]"),
        ({"cores": {"rmc": {"seed": 3}}}, "cores: rmc: seed: is decided by the suite; remove it"),
        ({"fields": {"start": "pydoc-rmc"}}, "tasks: parity: start: a comparison trains"),
        (
            {"cores": {"rmc": {"head_siz": 3}}},
            "tasks: parity: head_siz: not a field of state-tracking; did you mean head_size?",
        ),
        ({"seed": [1]}, "suite: seed: unknown; did you mean seeds?"),
        ({"seeds": [1, 1]}, r"seeds: must be a list of different numbers, got \[1, 1\]"),
        ({"seeds": [-1]}, "seeds: must be integers from 0 to"),
        ({"seeds": 3}, "seeds: must be a list of different numbers, got 3"),
        ({"learning_rates": [0]}, r"learning_rates: must be a number in \(0, 1e\+18\], got 0"),
        (
            {"learning_rates": ["fast"]},
            r"learning_rates: must be a number in \(0, .*\], got 'fast'",
        ),
        ({"learning_rates": [1e19]}, r"learning_rates: must be a number in \(0, .*, got 1e\+19"),
        ({"learning_rates": [1, 1.0]}, "learning_rates: must differ in their first six digits"),
        (
            {"learning_rates": [0.01, 0.010000001]},
            r"learning_rates: must differ in their first six digits, got \[0.01, 0.010000001\]",
        ),
        (
            {"cores": {"rmc": {}, "lstm": {"hidden_size": 20}}},
            "cores: lstm: hidden_size: is decided by the weights of the first core; remove it",
        ),
        (
            {"fields": {"hidden_size": 20}},
            "fields: hidden_size: is decided by the weights of the first core; remove it",
        ),
        (
            {"tasks": {"a": {"base": "state-tracking", "fields": {"hidden_size": 20}}}},
            "tasks: a: fields: hidden_size: is decided by the weights of the first core",
        ),
        ({"tasks": {"a\nb": {"base": "programs"}}}, r"tasks: 'a\\nb': must be a name that can be"),
        ({"tasks": {}}, "tasks: must be a mapping that is not empty"),
        ({"tasks": {"a/b": {"base": "programs"}}}, "tasks: 'a/b': must be a name that can be"),
        ({"tasks": {"a": {}}}, "tasks: a: base is missing"),
        ({"tasks": {"a": {"base": "parity"}}}, "tasks: a: parity: no such configuration"),
        (
            {"fields": {}, "tasks": {"a": {"base": "wikitext2-rmc"}}},
            "tasks: a: base: must be a generated task",
        ),
        (
            {"tasks": {"a": {"base": "state-tracking", "threshold": 90}}},
            r"tasks: a: threshold: must be a number in \(0, 1\], got 90",
        ),
        (
            {"tasks": {"a": {"base": "state-tracking", "fields": {"length": 3}}}},
            "tasks: a: train_length must be at most 3, got 40",
        ),
        (
            {"cores": {"lstm": {}, "transformer": {"num_heads": 60}}},
            "tasks: parity: transformer: the narrowest core gives .* weights, more than",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:30],
)
def test_mistakes(make_suite, given, message):
    with pytest.raises(UserError, match=f"^tiny.yaml: {message}"):
        make_suite(**given)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("memory-quik", "memory-quik: no such suite; did you mean memory-quick?"),
        ("nothing", "nothing: no such suite; give a YAML file or one of "),
        ("nothing.yaml", "nothing.yaml: no such suite file"),
    ],
)
def test_no_such_suite(name, message):
    with pytest.raises(UserError, match=message):
        read_suite(name)


def test_a_rate_in_the_notation_that_yaml_takes_for_text(make_suite):
    assert make_suite(learning_rates=["1e-3", 0.01]).learning_rates == [0.001, 0.01]
