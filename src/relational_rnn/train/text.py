"""Language modelling as a Lightning module: windows, truncated BPTT step, memory, validation."""

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import LanguageModelingConfig
from ..evaluate.perplexity import perplexity
from ..models.cores import State
from ..models.language_model import LanguageModel
from ..progress import progress
from ..tasks.language_modeling.batching import Windows, streams
from .module import TrainingModule

Ids = NDArray[np.integer[Any]]


class Batch(NamedTuple):
    """A window of the streams, or one micro-batch of it."""

    inputs: Tensor  # [T, b]
    targets: Tensor  # [T, b]
    part: int  # number of the micro-batch in the window, from 0
    first: bool  # the streams start here
    last: bool  # the epoch ends with this window
    epoch: int  # epochs completed before this window

    @property
    def amount(self) -> int:
        """Tokens of each stream."""
        return len(self.inputs)


class TrainingStream:
    """All epochs as one endless iterator.

    Lightning sees a single epoch without end, so that a run is saved and resumed at one kind of
    moment only: after a step. The length must exist but is not used: Lightning reads a loader
    without length one batch ahead, and a checkpoint would hold a position one batch too far.

    Args:
        windows: the windows of this process.
        parts: number of micro-batches in a window.
    """

    def __init__(self, windows: Windows, parts: int = 1) -> None:
        self.windows = windows
        self.parts = parts

    def __len__(self) -> int:
        return sys.maxsize

    def __iter__(self) -> Iterator[Batch]:
        while True:
            epoch, first = self.windows.epoch, self.windows.done == 0
            for inputs, targets in self.windows:
                last = self.windows.epoch > epoch
                parts = zip(
                    inputs.chunk(self.parts, dim=1), targets.chunk(self.parts, dim=1), strict=True
                )
                for part, (some_inputs, some_targets) in enumerate(parts):
                    yield Batch(some_inputs, some_targets, part, first, last, epoch)
                first = False

    def state_dict(self) -> dict[str, int]:
        """The position in the text, the same on every process."""
        return self.windows.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a position."""
        self.windows.load_state_dict(state)


class TextTraining(TrainingModule):
    """A language model in training.

    Args:
        config: the configuration of the run.
        model: the model to train.
        training: token ids of the training text.
        validation: token ids of the validation text.
        origin: identifies the run in its checkpoints, see :func:`.checkpoints.origin`.
    """

    unit = "tokens"
    measures = ("perplexity",)
    model: LanguageModel

    def __init__(
        self,
        config: LanguageModelingConfig,
        model: LanguageModel,
        training: Ids,
        validation: Ids,
        origin: dict[str, Any],
    ) -> None:
        super().__init__(config, model, origin)
        self.config = config
        self.training_ids = training
        self.validation_ids = validation
        self.states: list[State | None] = [None] * self.parts

    @staticmethod
    def describe(scores: dict[str, float]) -> str:
        """Format the perplexity."""
        loss = scores["loss"]
        return "perplexity …" if math.isnan(loss) else f"perplexity {perplexity(loss):,.2f}"

    def rate_of(self, batch: Batch) -> float:
        """Scale the rate with the length of a random window, as Merity et al. 2018 (4.1).

        A fixed rate would favour short windows.
        """
        return batch.amount / self.config.bptt if self.config.random_bptt else 1.0

    def training_scores(self, loss: float) -> dict[str, float]:
        """Perplexity of the training loss."""
        return {"train_perplexity": perplexity(loss)}

    def train_dataloader(self) -> TrainingStream:
        """The training windows of this process."""
        windows = Windows(
            streams(self.training_ids, self.config.batch_size),
            bptt=self.config.bptt,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            random_bptt=self.config.random_bptt,
            random_offset=self.config.random_offset,
            seed=self.config.seed,
        )
        return TrainingStream(windows, self.parts)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Objective of one window (or micro-batch), with the memory carried from the last one."""
        state = self.states[batch.part]
        if batch.first or state is None:
            state = self.model.initial_state(batch.inputs.shape[1])
        elif self.config.reset_probability:
            state = self._reset_some(state)
        loss, objective, state = self.model.regularized_loss(batch.inputs, batch.targets, state)
        self.states[batch.part] = tuple(tensor.detach() for tensor in state)
        self.note(loss.detach())
        return objective

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss in nats per token and perplexity of the validation text.

        The text is read as parallel streams that each start from the initial memory. This is fast,
        and the protocol of published word models; the final figure of a run is exact, see
        :mod:`..evaluate.perplexity`.
        """
        model = cast(LanguageModel, self.evaluated).eval()
        world_size = self.trainer.world_size
        tokens = self.validation_ids
        batch_size = min(self.config.eval_batch_size, len(tokens) // 2)
        batch_size = max(world_size, batch_size // world_size * world_size)
        windows = Windows(
            streams(tokens, batch_size),
            bptt=self.config.bptt,
            rank=self.trainer.global_rank,
            world_size=world_size,
        )
        state = model.initial_state(batch_size // world_size)
        total = torch.zeros((), dtype=torch.float64)
        count = 0
        targets_of_process = (len(windows.streams) - 1) * len(windows.columns)
        with progress("validating", targets_of_process, unit="tokens") as advance:
            for inputs, targets in windows:
                with self.trainer.precision_plugin.val_step_context():
                    loss, state = model.loss(
                        inputs.to(self.device), targets.to(self.device), state, "sum"
                    )
                total += loss.cpu()
                count += targets.numel()
                advance(targets.numel())
        model.train()
        mean = self.mean_of_processes((total / count).to(self.device, self.loss_sum.dtype)).item()
        return {"loss": mean, "perplexity": perplexity(mean)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the memory of every stream, in the order of the global batch."""
        super().on_save_checkpoint(checkpoint)
        parts = [state for state in self.states if state is not None]
        local = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]  # [b, ...]
        gathered = [self.gather(tensor) for tensor in local]
        # Process r holds the streams r, r + W, r + 2W ... of the global batch.
        checkpoint["memory"] = [torch.stack(ranks, dim=1).flatten(0, 1).cpu() for ranks in gathered]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the memories of this process's streams, for any number of processes."""
        super().on_load_checkpoint(checkpoint)
        rank, world_size = self.global_rank, self.trainer.world_size
        memory = [tensor[rank::world_size].to(self.device) for tensor in checkpoint["memory"]]
        parts = zip(*(tensor.chunk(self.parts) for tensor in memory), strict=True)
        self.states = list(parts) if memory else [None] * self.parts

    def _reset_some(self, state: State) -> State:
        drawn = torch.rand(len(state[0]), device=self.device)
        return self.model.core.reset_state(state, drawn < self.config.reset_probability)
