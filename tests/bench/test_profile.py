import pytest
import torch

from relational_rnn.bench import profile
from relational_rnn.bench.profile import ProfiledTraining
from relational_rnn.bench.work import Training


@pytest.mark.parametrize(
    "name", ["rmc fused bfloat16", "rmc fused float32", "lstm bfloat16", "lstm"]
)
@pytest.mark.parametrize("head", ["full", "adaptive"])
def test_parts_make_the_same_step(tiny, name, head):
    case = tiny(name, embedding_dropout=0.0, output_dropout=0.0, head=head)
    whole, profiled = Training(case), ProfiledTraining(case)
    for _ in range(3):
        whole.step()
        laps = profiled.profiled_step()
    assert [*laps][:: len(laps) - 1] == ["data to tensors", "optimizer"]
    for one, other in zip(whole.model.parameters(), profiled.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_parts_read_the_same_words(tiny):
    profiled = ProfiledTraining(tiny("lstm"))
    tokens, targets = next(iter(profiled.windows))
    assert tokens.equal(profiled.tokens)
    assert targets.equal(profiled.targets)


def test_profile(tiny):
    cases = [tiny("rmc fused bfloat16"), tiny("lstm bfloat16")]
    result = profile.MEASUREMENT.run(cases=cases, rounds=2)
    own = [one for one in result["rows"] if one["row"] == "lstm bfloat16"]
    assert [one["part"] for one in own][-2:] == ["sum of the parts", "the same step, uncut"]
    assert {"core forward", "core backward", "loss forward", "clip"} <= {one["part"] for one in own}
    assert own[-2]["share"] == 1
