"""A Relational Memory Core inside a LightningModule: which of two bits came later in a sequence?

python examples/lightning_module.py
"""

import argparse

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from relational_rnn import RelationalMemory

LENGTH, SYMBOLS = 12, 6


def examples(count: int, seed: int) -> TensorDataset:
    """Sequences of several lengths: is the last 0 after the last 1? Symbols above 1 distract."""
    generator = torch.Generator().manual_seed(seed)
    symbols = torch.randint(SYMBOLS, (count, LENGTH), generator=generator)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (count,), generator=generator)
    place = torch.arange(LENGTH)
    read = place < lengths[:, None]
    last = [torch.where(read & (symbols == bit), place, -1).amax(1) for bit in (0, 1)]
    return TensorDataset(symbols, lengths, (last[0] > last[1]).long())


class Classifier(lightning.LightningModule):
    """Embedding -> core -> the memory at each sequence's own end -> class."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, 16)
        self.core = RelationalMemory(16, mem_slots=2, head_size=8, num_heads=2, batch_first=True)
        self.readout = nn.Linear(self.core.output_size, 2)

    def forward(self, symbols: Tensor, lengths: Tensor) -> Tensor:
        _, memory = self.core(self.embedding(symbols), lengths=lengths)
        return self.readout(memory.flatten(1))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        symbols, lengths, targets = batch
        return nn.functional.cross_entropy(self(symbols, lengths), targets)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        symbols, lengths, targets = batch
        right = self(symbols, lengths).argmax(-1) == targets
        self.log("accuracy", right.float().mean(), batch_size=len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--examples", type=int, default=8192)
    options = parser.parse_args()

    lightning.seed_everything(1, verbose=False)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        max_epochs=options.epochs, gradient_clip_val=1.0, accelerator="cpu", **quiet
    )
    train = DataLoader(examples(options.examples, 1), batch_size=64, shuffle=True)
    valid = DataLoader(examples(1000, 2), batch_size=500)
    trainer.fit(Classifier(), train, valid)
    print(f"accuracy {trainer.callback_metrics['accuracy'].item():.1%}")


if __name__ == "__main__":
    main()
