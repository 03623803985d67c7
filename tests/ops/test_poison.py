"""The fixture of ``conftest.py`` fills unwritten memory with NaN, as the op tests rely on."""

import pytest
import torch


@pytest.mark.parametrize(
    "allocate",
    [
        pytest.param(lambda: torch.empty(3), id="empty"),
        pytest.param(lambda: torch.empty_like(torch.ones(3)), id="empty_like"),
        pytest.param(lambda: torch.empty_strided((2, 2), (1, 2)), id="empty_strided"),
        pytest.param(lambda: torch.ones(1).new_empty(3), id="new_empty"),
    ],
)
def test_unwritten_memory_is_nan(allocate):
    assert allocate().isnan().all()


def test_integers_are_left_alone():
    assert torch.empty(3, dtype=torch.int64).shape == (3,)
