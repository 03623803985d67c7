import sys

import pytest
import torch

from relational_rnn.bench import memory_growth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("steps", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_memory_stays_flat(tiny, steps):
    case = tiny("rmc fused bfloat16", bptt=2)
    result = memory_growth.MEASUREMENT.run(steps=steps, case=case)
    assert [row["step"] for row in result["rows"]] == list(
        range(steps // 10, steps + 1, steps // 10)
    )
    # One [4, 8] tensor forgotten a step would be more than a tenth of this.
    assert result["growth_mb"] < 1


def test_a_leak_is_seen(tiny, monkeypatch):
    kept = []
    right = memory_growth.Training.step

    def leaking(self, **arguments):
        right(self, **arguments)
        kept.append(torch.ones(25_000))  # 0.1 MB

    monkeypatch.setattr(memory_growth.Training, "step", leaking)
    result = memory_growth.MEASUREMENT.run(steps=50, case=tiny("lstm"))
    assert result["growth_mb"] == pytest.approx(3.5, abs=1)
