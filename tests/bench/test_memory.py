import subprocess
import sys

import pytest
import torch

from relational_rnn.bench import memory, steady

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


PEAK = """
import torch
from relational_rnn.bench import memory

def work():
    torch.ones(12, 1_000_000)  # 48 MB, more than the C library ever keeps of itself: freed at once
    torch.ones(24, 1_000_000)  # 96 MB

print(memory.peak_during(work))
"""


def test_peak_is_seen_after_it_is_gone():
    # In a process of its own: another test may have told this one to keep what is freed.
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(96, abs=8)


def test_earlier_peak_is_forgotten():
    torch.ones(50, 1_000_000)
    assert memory.peak_during(lambda: None) < 8


def test_resident():
    before = memory.resident()
    kept = torch.ones(16, 1_000_000)
    assert memory.resident() - before == pytest.approx(64, abs=8)
    assert len(kept) == 16


def test_without_clear_refs_the_growth_of_the_lifetime_peak_counts(monkeypatch):
    monkeypatch.setattr(memory, "_forget_peak", lambda: False)
    size = memory.lifetime_peak() // 4 + 10_000_000  # floats: above all that ever was
    grown = memory.peak_during(lambda: torch.ones(size))
    assert 0 < grown <= size * 4 / memory.MB + 8


@pytest.mark.parametrize("steps", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_memory_stays_flat(tiny, steps):
    case = tiny("rmc fused bfloat16", bptt=2)
    result = steady.measure(steps, case)
    assert [row["step"] for row in result["rows"]] == list(
        range(steps // 10, steps + 1, steps // 10)
    )
    # One [4, 8] tensor forgotten a step would be more than a tenth of this.
    assert result["growth_mb"] < 1


def test_a_leak_is_seen(tiny, monkeypatch):
    kept = []
    right = steady.Training.step

    def leaking(self, **arguments):
        right(self, **arguments)
        kept.append(torch.ones(25_000))  # 0.1 MB

    monkeypatch.setattr(steady.Training, "step", leaking)
    result = steady.measure(50, tiny("lstm"))
    assert result["growth_mb"] == pytest.approx(3.5, abs=1)
