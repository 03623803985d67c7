"""A sweep's file: its content, and every mistake reported before anything is trained."""

import shutil

import pytest
import yaml

from relational_rnn.config import load
from relational_rnn.errors import UserError
from relational_rnn.sweep.plan import read_plan, shipped
from relational_rnn.sweep.space import Choices, Range


def test_a_space(make_plan):
    plan = make_plan(pruner="median", seed=3)
    assert plan.space == {
        "learning_rate": Range(0.001, 0.1, log=True),
        "num_heads": Choices((1, 2)),
    }
    assert (plan.name, plan.sampler, plan.pruner, plan.seed) == ("tiny", "random", "median", 3)
    assert (plan.measure, plan.lower_is_better, plan.trials) == ("perplexity", True, 3)
    config = plan.config(7, {"learning_rate": 0.02, "num_heads": 2})
    assert (config.name, config.learning_rate, config.max_steps) == ("tiny-0007", 0.02, 4)


def test_a_generated_task_is_compared_by_accuracy(make_plan):
    plan = make_plan({"head_size": 8}, base="memorization", pruner="none")
    assert (plan.measure, plan.lower_is_better) == ("accuracy", False)


def test_rows_have_the_fields_of_all(make_plan):
    plan = make_plan({"num_heads": 2}, rows=[{"seed": 5}, {"num_heads": 4, "published": 9}])
    assert plan.rows == [{"seed": 5, "num_heads": 2}, {"seed": 1, "num_heads": 4}]
    assert (plan.published, plan.trials, plan.sampler) == ([None, 9], 2, "rows")
    assert plan.space == {"seed": Choices((5, 1)), "num_heads": Choices((2, 4))}


@pytest.mark.parametrize("given", [{}, {"rows": [{"seed": 5}, {"betas": [0.8, 0.9]}]}])
def test_written_and_read_it_is_the_same(make_plan, tmp_path, given):
    plan = make_plan(**given)
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(plan.as_plain()), encoding="utf-8")
    again = read_plan("again.yaml")
    assert again.as_plain() == plan.as_plain()
    assert (again.space, again.rows) == (plan.space, plan.rows)


def test_the_run_to_start_from_is_found_from_every_folder(make_plan, tmp_path):
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("task: language-modeling\n", encoding="utf-8")
    plan = make_plan(fields={"start": "first"})
    assert plan.config(0, {}).start == str(run)
    assert make_plan(fields={"start": "pydoc-rmc"}).config(0, {}).start == "pydoc-rmc"
    shutil.rmtree(run)  # trials that have begun can go on
    assert make_plan(fields={"start": "first"}).config(0, {}).start == "first"


@pytest.mark.parametrize(
    "given", [{"fields": {"start": "nosuch"}}, {"space": {"start": [None, "nosuch"]}}]
)
def test_a_missing_run_to_start_from_is_found_before_any_trial(make_plan, given):
    with pytest.raises(UserError, match=r"^nosuch: no such run"):
        make_plan(**given).open_data()


def test_options_replace_fields(make_plan):
    make_plan()
    plan = read_plan("tiny.yaml", {"max_steps": "9"}, trials=1)
    assert (plan.base.max_steps, plan.base.head_size, plan.trials) == (9, 4, 1)
    with pytest.raises(UserError, match="--num-heads: the sweep searches num_heads"):
        read_plan("tiny.yaml", {"num_heads": "9"})


def test_a_base_in_the_folder_of_the_file(make_plan, tmp_path):
    (tmp_path / "mine.yaml").write_text("bptt: 7\n", encoding="utf-8")
    assert make_plan(base="mine.yaml").base.bptt == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {}}, "space: must be lines of"),
        ({"space": {"heads": [1]}}, "space: heads: unknown field; did you mean head"),
        ({"space": {"task": ["programs"]}}, "task: unknown field"),
        ({"space": {"num_heads": 4}}, "num_heads: must be a list of choices, or a range .*, got 4"),
        ({"space": {"num_heads": []}}, "num_heads: the list of choices is empty"),
        ({"space": {"num_heads": [1, "x"]}}, "num_heads: must be an integer, got 'x'"),
        ({"space": {"num_heads": [1, 1]}}, "num_heads: 1 is listed twice"),
        (
            {"space": {"max_steps": {"low": 1, "high": 10**30}}},
            "max_steps: must be at most 1,000,000,000,000, got 1000",
        ),
        ({"space": {"num_heads": [1, 0]}}, "num_heads: must be at least 1, got 0"),
        ({"space": {"learning_rate": {"low": 1}}}, "learning_rate: high is missing"),
        (
            {"space": {"learning_rate": {"low": 2, "high": 1}}},
            "low: must be below high: 1.0, got 2.0",
        ),
        ({"space": {"learning_rate": {"low": -1, "high": 1}}}, "must be above 0, got -1.0"),
        ({"space": {"dropout": {"low": 0, "high": 1}}}, "dropout: unknown field"),
        (
            {"space": {"output_dropout": {"low": 0, "high": 0.5, "log": True}}},
            "low: must be positive with log: true, got 0",
        ),
        ({"space": {"clip": {"low": 1, "high": 2, "steps": 1}}}, "steps: .* did you mean step"),
        (
            {"space": {"num_heads": {"low": 1, "high": 2, "step": 5}}},
            "must not lead past high: 2, got 5",
        ),
        # the ends are divisors of a batch_size of 32
        (
            {"space": {"micro_batch_size": {"low": 1, "high": 4}}},
            "size: must be a divisor of batch_size, got 3",
        ),
        ({"space": {"tied": {"low": 0, "high": 1}}}, "tied: must be true or false, got 0"),
        ({"space": {"head": ["full", "adaptive"], "mixtures": [1, 2]}}, "needs head: full"),
        ({"rows": [{"seed": 1}]}, "rows and space"),
        ({"rows": [], "space": None}, "rows and space"),
        ({"fields": {"seeds": 1}}, "fields: seeds: unknown field"),
        ({"fields": {"num_heads": 1}}, "num_heads: both fixed under fields and searched"),
        ({"base": "nothing.yaml"}, "nothing.yaml: no such configuration file"),
        ({"sampler": "grid"}, "sampler: must be one of tpe, random, got 'grid'"),
        ({"pruner": "mean"}, "pruner: must be one of none, median, hyperband, got 'mean'"),
        ({"trials": 0}, "trials: must be an integer >= 1, got 0"),
        ({"trials": None}, "trials: must be an integer >= 1, got None"),
        ({"seed": -1}, "seed: must be an integer >= 0, got -1"),
        ({"space": {"start": ["", None]}}, "start: must be a name, got ''"),
        ({"tirals": 3}, "tirals: unknown; did you mean trials"),
    ],
)
def test_mistakes_in_a_space(tmp_path, given, message):
    space = {"num_heads": [1, 2]}
    given = {"base": "language-modeling", "space": space, "trials": 3, **given}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_plan("bad.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows: must not be empty"),
        ({"seed": 1}, "rows: must be a list"),
        ([{"seed": 1}, {"sead": 1}], "rows: 2: sead: unknown field; did you mean seed"),
        ([{"seed": -1}], r"rows: 1: seed: must be in \[0, 4294967296\), got -1"),
        ([{"seed": "x"}], "rows: 1: seed: must be an integer, got 'x'"),
        ([{"seed": 1, "published": "low"}], "rows: 1: published: must be a number, got 'low'"),
        ([{"published": 3}], "no row sets a field"),
    ],
)
def test_mistakes_in_rows(make_plan, rows, message):
    with pytest.raises(UserError, match=message):
        make_plan(rows=rows)


def test_more_trials_than_rows(make_plan):
    make_plan(rows=[{"seed": 1}])
    with pytest.raises(UserError, match="--trials: must be at most the number of rows, 1, got 2"):
        read_plan("tiny.yaml", trials=2)


def test_a_wrong_option_is_not_blamed_on_the_file(make_plan):
    make_plan(rows=[{"seed": 1}])
    for number in (0, 2):
        with pytest.raises(UserError, match=r"^--trials: must be "):
            read_plan("tiny.yaml", trials=number)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_sweeps_can_be_read(name):
    assert read_plan(name).trials > 0


def test_the_published_search():
    plan = read_plan("wikitext2-published")
    assert len(plan.rows) == 15
    best = min(range(15), key=plan.published.__getitem__)
    assert plan.published[best] == 107.21
    base = load("wikitext2-rmc")
    assert plan.rows[best] == {name: getattr(base, name) for name in plan.rows[best]}
    assert plan.base.max_steps is not None
    # The two equal rows of the source differ in the seed alone.
    first, second = plan.rows[:2]
    assert first == second | {"seed": first["seed"]}
    assert sorted({row["output_dropout"] for row in plan.rows}) == [0.0, 0.5]
    assert all(row["embedding_size"] == row["head_size"] for row in plan.rows)


@pytest.mark.parametrize("base", [{"a": [1, {}]}, "x" * 2000, None], ids=["nested", "long", "null"])
def test_a_base_that_is_no_name(base, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"base": base, "rows": [{"seed": 1}]}), encoding="utf-8")
    with pytest.raises(UserError, match=r"bad\.yaml: base must be the name of a configuration"):
        read_plan(str(path))
