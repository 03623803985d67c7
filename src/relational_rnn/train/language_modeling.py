"""Language modelling as a Lightning module: the step, the memory carried on, what is saved."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import LanguageModelingConfig
from ..models.cores import State
from ..models.language_model import LanguageModel
from ..tasks.language_modeling.batching import Windows, streams
from .module import TrainingModule
from .progress import perplexity, perplexity_text
from .stream import Batch, TrainingStream

Ids = NDArray[np.integer[Any]]


class LanguageModeling(TrainingModule):
    """A language model in training.

    Args:
        config: all of it.
        model: what is trained.
        training: ids to train on.
        validation: ids to validate on.
        origin: says where checkpoints belong, see :func:`.checkpoints.origin`.
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
        """The perplexity."""
        return perplexity_text(scores["loss"])

    def rate_of(self, batch: Batch) -> float:
        """With windows of random length the rate goes by it, as Merity et al. 2018 (4.1) have it.

        A fixed one would favour short windows.
        """
        return batch.amount / self.config.bptt if self.config.random_bptt else 1.0

    def training_scores(self, loss: float) -> dict[str, float]:
        """The perplexity."""
        return {"train_perplexity": perplexity(loss)}

    def train_dataloader(self) -> TrainingStream:
        """This process's part of the training windows."""
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
        """What is to be minimised over one window (or part of it)."""
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
        """Nats per word and perplexity of the validation text.

        It is read in streams that each begin afresh. This is quick, and the protocol of published
        word models; the figure at the end of a run is exact, see
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
        for inputs, targets in windows:
            with self.trainer.precision_plugin.val_step_context():
                loss, state = model.loss(
                    inputs.to(self.device), targets.to(self.device), state, "sum"
                )
            total += loss.cpu()
            count += targets.numel()
        model.train()
        mean = self.mean_of_processes((total / count).to(self.device, self.loss_sum.dtype)).item()
        return {"loss": mean, "perplexity": perplexity(mean)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the memories in the order of the global batch, and every process's generators."""
        super().on_save_checkpoint(checkpoint)
        parts = [state for state in self.states if state is not None]
        local = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]  # [b, ...]
        gathered = [self.gather(tensor) for tensor in local]
        # Process r has the streams r, r + W, r + 2W ... of the global batch.
        checkpoint["memory"] = [torch.stack(ranks, dim=1).flatten(0, 1).cpu() for ranks in gathered]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take this process's share of the memories, whatever the number of processes was."""
        super().on_load_checkpoint(checkpoint)
        rank, world_size = self.global_rank, self.trainer.world_size
        memory = [tensor[rank::world_size].to(self.device) for tensor in checkpoint["memory"]]
        parts = zip(*(tensor.chunk(self.parts) for tensor in memory), strict=True)
        self.states = list(parts) if memory else [None] * self.parts

    def _reset_some(self, state: State) -> State:
        batch_size = len(state[0])
        kept = torch.rand(batch_size, device=self.device) >= self.config.reset_probability
        fresh = self.model.initial_state(batch_size)
        return tuple(
            torch.where(kept.view(-1, *[1] * (old.dim() - 1)), old, new)
            for old, new in zip(state, fresh, strict=True)
        )
