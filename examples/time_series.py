"""Forecast a time series: two seasons and a trend, the next value from all before it.

python examples/time_series.py
"""

import argparse

import torch
from torch import Tensor, nn

from relational_rnn import RelationalMemory


class Forecaster(nn.Module):
    """One value in, the next value out, at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.core = RelationalMemory(1, mem_slots=2, head_size=16, num_heads=2, batch_first=True)
        self.readout = nn.Linear(self.core.output_size, 1)

    def forward(self, values: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From values ``[B, T]``: forecasts of the next ones ``[B, T]``, and the memory."""
        output, memory = self.core(values.unsqueeze(-1), memory)
        return values + self.readout(output).squeeze(-1), memory  # the change is learned


def series(count: int, length: int) -> Tensor:
    """``[count, length]``: seasons of 7 and 30 steps with random phases, and noise."""
    time = torch.arange(length)
    phases = torch.rand(2, count, 1)
    week, month = (
        torch.sin(2 * torch.pi * (time / period + phase))
        for period, phase in zip((7, 30), phases, strict=True)
    )
    return week + 0.5 * month + 0.05 * torch.randn(count, length)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()

    torch.manual_seed(1)
    model, test = Forecaster(), series(100, 90)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(options.steps):
        values = series(32, 90)
        forecast, _ = model(values[:, :-1])
        loss = (forecast - values[:, 1:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        # Read the first 60 values, then forecast 30 more from forecasts alone.
        forecast, memory = model(test[:, :60])
        value = forecast[:, -1:]
        ahead = [value]
        for _ in range(29):
            value, memory = model(value, memory)
            ahead.append(value)
    error = (torch.cat(ahead, dim=1) - test[:, 60:]).abs().mean().item()
    naive = (test[:, 53:60].repeat(1, 5)[:, :30] - test[:, 60:]).abs().mean().item()
    print(f"30 steps ahead: mean error {error:.3f}; the last week again: {naive:.3f}")


if __name__ == "__main__":
    main()
