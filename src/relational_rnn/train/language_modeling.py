"""Language modelling as a Lightning module: the step, the memory carried on, what is saved."""

from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import (
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
)

from ..config import LanguageModelingConfig
from ..models.cores import State
from ..models.language_model import LanguageModel
from ..tasks.language_modeling.batching import Windows, streams
from . import generators
from .optimizers import build_optimizer
from .stream import Batch, TrainingStream

Ids = NDArray[np.integer[Any]]


class LanguageModeling(LightningModule):
    """A language model in training.

    Args:
        config: all of it.
        model: what is trained.
        training: ids to train on.
        validation: ids to validate on.
        origin: says where checkpoints belong, see :func:`.checkpoints.origin`.

    Attributes:
        loss_sum: sum of the losses of this process's steps since it was last taken.
        bad_step: the first step whose loss was not finite, 0 for none.
    """

    def __init__(
        self,
        config: LanguageModelingConfig,
        model: LanguageModel,
        training: Ids,
        validation: Ids,
        origin: dict[str, Any],
    ) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.training_ids = training
        self.validation_ids = validation
        self.origin = origin
        self.parts = config.batch_size // (config.micro_batch_size or config.batch_size)
        self.averaged: AveragedModel | None = None
        if config.averaging != "none":
            ema = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
            plain = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
            average = ema if config.averaging == "ema" else plain
            self.averaged = AveragedModel(model, multi_avg_fn=average).requires_grad_(False)
        self.states: list[State | None] = [None] * self.parts
        self.loss_sum: Tensor
        self.bad_step: Tensor
        self._generators: list[dict[str, Tensor]] | None = None

    @property
    def evaluated(self) -> LanguageModel:
        """The model whose weights count: the averaged one, once there is an average."""
        if self.averaged is not None and self.averaged.n_averaged > 0:
            return cast(LanguageModel, self.averaged.module)
        return self.model

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

    def configure_optimizers(self) -> Optimizer:
        """One optimizer; its learning rate is set before each step."""
        return build_optimizer(self.config, self.model)

    def on_train_start(self) -> None:
        """Every process draws other numbers, and after a resume those that would have come."""
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=exact, device=self.device)
        self.bad_step = torch.zeros((), dtype=torch.int64, device=self.device)
        if self._generators is None:
            torch.manual_seed((self.config.seed << 16) + self.global_rank)
        else:
            generators.restore(self._generators, self.global_rank, self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """What is to be minimised over one window (or part of it)."""
        state = self.states[batch.part]
        if batch.first or state is None:
            state = self.model.initial_state(batch.inputs.shape[1])
        elif self.config.reset_probability:
            state = self._reset_some(state)
        loss, objective, state = self.model.regularized_loss(batch.inputs, batch.targets, state)
        self.states[batch.part] = tuple(tensor.detach() for tensor in state)
        self._note(loss.detach())
        return objective

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm, here because Lightning refuses to with a fused optimizer."""
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(weight.isfinite().all()) for weight in self.model.parameters())

    def update_average(self) -> None:
        """Take the weights into the average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def take_loss_sum(self) -> float:
        """The sum of the losses since the last call, the mean of all processes'."""
        total = self.trainer.strategy.reduce(self.loss_sum, reduce_op="mean")
        value: float = torch.as_tensor(total).item()
        self.loss_sum.zero_()
        return value

    @torch.no_grad()
    def validate(self) -> float:
        """Nats per word of the validation text, read in streams that each begin afresh.

        This is quick, and the protocol of published word models; the figure at the end of a run
        is exact, see :mod:`..evaluate.perplexity`.
        """
        model = self.evaluated.eval()
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
        mean = self.trainer.strategy.reduce((total / count).to(self.device), reduce_op="mean")
        value: float = torch.as_tensor(mean).item()
        return value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the memories in the order of the global batch, and every process's generators."""
        checkpoint["origin"] = self.origin
        checkpoint["generators"] = generators.save(self.device, self._gather)
        parts = [state for state in self.states if state is not None]
        local = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]  # [b, ...]
        gathered = [self._gather(tensor) for tensor in local]
        # Process r has the streams r, r + W, r + 2W ... of the global batch.
        checkpoint["memory"] = [torch.stack(ranks, dim=1).flatten(0, 1).cpu() for ranks in gathered]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take this process's share of the memories, whatever the number of processes was."""
        self._generators = checkpoint["generators"]
        rank, world_size = self.global_rank, self.trainer.world_size
        memory = [tensor[rank::world_size].to(self.device) for tensor in checkpoint["memory"]]
        parts = zip(*(tensor.chunk(self.parts) for tensor in memory), strict=True)
        self.states = list(parts) if memory else [None] * self.parts

    def _note(self, loss: Tensor) -> None:
        """Keep the loss on the device: to look at it is to wait for it."""
        self.loss_sum += loss / self.parts
        good = loss.isfinite() | (self.bad_step > 0)
        self.bad_step = torch.where(good, self.bad_step, self.trainer.global_step + 1)

    def _reset_some(self, state: State) -> State:
        batch_size = len(state[0])
        kept = torch.rand(batch_size, device=self.device) >= self.config.reset_probability
        fresh = self.model.initial_state(batch_size)
        return tuple(
            torch.where(kept.view(-1, *[1] * (old.dim() - 1)), old, new)
            for old, new in zip(state, fresh, strict=True)
        )

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes."""
        if self.trainer.world_size == 1:
            return [tensor]
        gathered: Any = self.all_gather(tensor)
        return list(gathered.unbind(0))
