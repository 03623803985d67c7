"""Making batches compared with training on them."""

import pytest

from relational_rnn.bench import batches, report
from relational_rnn.bench.timing import Stop
from relational_rnn.config import GeneratedConfig, load


def small(task: str) -> GeneratedConfig:
    config = load(task, {"batch_size": 4, "head_size": 4, "num_heads": 2, "readout_size": 8})
    assert isinstance(config, GeneratedConfig)
    return config


def test_every_shipped_configuration_of_a_generated_task_is_measured():
    names = [config.name for config in batches.configurations()]
    assert {"cpu-copy", "cpu-nth-farthest", "paper-program"} <= set(names)
    assert not [name for name in names if name.startswith("wikitext")]


@pytest.mark.parametrize("task", ["nth-farthest", "programs", "memorization"])
def test_a_step_learns_from_the_batch_made_last(task):
    subject = batches.GeneratedTraining(small(task))
    before = [weight.detach().clone() for weight in subject.model.parameters()]
    old = subject.batch
    subject.make_batch()
    assert not old.inputs.equal(subject.batch.inputs)
    subject.step()
    assert any(
        not weight.equal(other)
        for weight, other in zip(subject.model.parameters(), before, strict=True)
    )


def test_the_largest_share_is_held_against_the_bound():
    configs = [small("memorization"), small("nth-farthest")]
    result = batches.MEASUREMENT.run(configs=configs, stop=Stop(seconds=0, least=2, most=2))
    shares = [row["batch_share"] for row in result["rows"]]
    assert shares == [row["batch_ms"] / row["step_ms"] for row in result["rows"]]
    assert result["ratios"][0]["value"] == pytest.approx(max(shares), abs=1e-3)
    table = report.tables(result)[0]
    assert [line[0] for line in table.rows] == [config.name for config in configs]
