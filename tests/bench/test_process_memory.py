import subprocess
import sys

import pytest
import torch

from relational_rnn.bench import process_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


PEAK = """
import torch
from relational_rnn.bench import process_memory

def work():
    torch.ones(12, 1_000_000)  # 48 MB, more than the C library ever keeps of itself: freed at once
    torch.ones(24, 1_000_000)  # 96 MB

print(process_memory.peak_during(work))
"""


def test_peak_is_seen_after_it_is_gone():
    # In a process of its own: another test may have told this one to keep what is freed.
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(96, abs=8)


def test_earlier_peak_is_forgotten():
    torch.ones(50, 1_000_000)
    assert process_memory.peak_during(lambda: None) < 8


def test_resident():
    before = process_memory.resident()
    kept = torch.ones(16, 1_000_000)
    assert process_memory.resident() - before == pytest.approx(64, abs=8)
    assert len(kept) == 16


def test_without_clear_refs_the_growth_of_the_lifetime_peak_counts(monkeypatch):
    monkeypatch.setattr(process_memory, "_reset_peak", lambda: False)
    size = process_memory.lifetime_peak() // 4 + 10_000_000  # floats: above all that ever was
    grown = process_memory.peak_during(lambda: torch.ones(size))
    assert 0 < grown <= size * 4 / process_memory.MB + 8
