"""Train a Relational Memory Core in a plain PyTorch loop: repeat a string after its end.

python examples/plain_loop.py
"""

import argparse

import torch
from torch import Tensor, nn

from relational_rnn import RelationalMemory

SYMBOLS = 4  # and one that means: now repeat


def batch(size: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs ``[T, B, S + 1]`` one-hot, T = 2 * length, and targets ``[length, B]``."""
    symbols = torch.randint(SYMBOLS, (length, size), generator=generator)
    asked = torch.full_like(symbols, SYMBOLS)
    return nn.functional.one_hot(torch.cat([symbols, asked]), SYMBOLS + 1).float(), symbols


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--length", type=int, default=4)
    options = parser.parse_args()

    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    core = RelationalMemory(SYMBOLS + 1, mem_slots=4, head_size=16, num_heads=2)
    readout = nn.Linear(core.output_size, SYMBOLS)
    parameters = [*core.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    for step in range(1, options.steps + 1):
        inputs, targets = batch(64, options.length, generator)
        output, _ = core(inputs)
        logits = readout(output[options.length :])  # [length, B, S]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == options.steps:
            accuracy = (logits.argmax(-1) == targets).float().mean().item()
            print(f"step {step}: loss {loss.item():.3f} accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
