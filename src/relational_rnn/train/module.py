"""Base of the Lightning modules: optimizer, averaged weights, loss, checkpoint."""

from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import (
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
)

from ..config import TaskConfig
from . import random_states
from .optimizers import build_optimizer


class TrainingModule(LightningModule):
    """A model in training; a subclass for each kind of task computes loss and validation.

    Args:
        config: the configuration of the run.
        model: the model to train.
        origin: identifies the run in its checkpoints, see :mod:`.checkpoints`.

    Attributes:
        unit: what the amount of training is counted in: "tokens" or "examples".
        measures: names of the validation scores other than the loss.
        auxiliary: heads that are trained with the model and not saved with it; None: none.
        parts: number of micro-batches in a batch.
        loss_sum: sum of this process's losses since :meth:`take_loss_sum`.
        bad_step: the first step whose loss or gradient was not finite, 0 for none.
    """

    unit: str
    measures: tuple[str, ...]

    def __init__(self, config: TaskConfig, model: nn.Module, origin: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.origin = origin
        self.training_config = config
        self.auxiliary: nn.Module | None = None
        self.parts = config.batch_size // (config.micro_batch_size or config.batch_size)
        self.averaged: AveragedModel | None = None
        if config.averaging != "none":
            ema: Any = get_ema_multi_avg_fn
            plain: Any = get_swa_multi_avg_fn
            average = ema(config.ema_decay) if config.averaging == "ema" else plain()
            self.averaged = AveragedModel(model, multi_avg_fn=average).requires_grad_(False)
        self.loss_sum: Tensor
        self.bad_step: Tensor
        self._generators: list[dict[str, Tensor]] | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The model to evaluate: the averaged one once averaging has started."""
        if self.averaged is not None and self.averaged.n_averaged > 0:
            return self.averaged.module
        return self.model

    @property
    def trained(self) -> nn.Module:
        """The model with its training-only heads."""
        return self.model if self.auxiliary is None else nn.ModuleList([self.model, self.auxiliary])

    @staticmethod
    def describe(scores: dict[str, float]) -> str:
        """Format the training loss, or the scores of a validation, for display."""
        raise NotImplementedError

    def rate_of(self, batch: Any) -> float:
        """Factor of the learning rate for this batch."""
        return 1.0

    def training_scores(self, loss: float) -> dict[str, float]:
        """Columns of metrics.csv that are computed from the training loss."""
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """Compute the validation loss and ``measures``, the same on every process."""
        raise NotImplementedError

    def error(self, scores: dict[str, float]) -> float:
        """The number by which validations are compared; the lowest is the best."""
        return scores["loss"]

    def row_written(self, loss: float) -> None:
        """Called on every process when a row of metrics with this training loss is due."""

    def configure_optimizers(self) -> Optimizer:
        """Build the optimizer; the loop sets its learning rate before each step."""
        return build_optimizer(self.training_config, self.trained)

    def on_train_start(self) -> None:
        """Seed each process differently, or restore its generators after a resume."""
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=exact, device=self.device)
        self.bad_step = torch.zeros((), dtype=torch.int64, device=self.device)
        if self._generators is None:
            torch.manual_seed((self.training_config.seed << 16) + self.global_rank)
        else:
            random_states.restore(self._generators, self.global_rank, self.device)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; Lightning's own clipping rejects fused optimizers."""
        if self.training_config.clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(
                self.trained.parameters(), self.training_config.clip
            )
            self._check(norm)  # by an infinite one, finite gradients are clipped to zero

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(weight.isfinite().all()) for weight in self.model.parameters())

    def update_average(self) -> None:
        """Add the current weights to the average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def take_loss_sum(self) -> float:
        """Sum of the losses since the last call, averaged over processes."""
        value = self.mean_of_processes(self.loss_sum).item()
        self.loss_sum.zero_()
        return value

    def mean_of_processes(self, value: Tensor) -> Tensor:
        """Mean over all processes."""
        return torch.as_tensor(self.trainer.strategy.reduce(value, reduce_op="mean"))

    def note(self, loss: Tensor) -> None:
        """Accumulate the loss on the device; reading its value would wait for the device."""
        self.loss_sum += loss / self.parts
        self._check(loss)

    def _check(self, value: Tensor) -> None:
        good = value.isfinite() | (self.bad_step > 0)
        self.bad_step = torch.where(good, self.bad_step, self.trainer.global_step + 1)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Gather a tensor from all processes."""
        if self.trainer.world_size == 1:
            return [tensor]
        gathered: Any = self.all_gather(tensor)
        return list(gathered.unbind(0))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the origin, the configuration and the generator states of every process."""
        checkpoint["origin"] = self.origin
        checkpoint["config"] = asdict(self.training_config)
        checkpoint["generators"] = random_states.save(self.device, self.gather)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the generator states for :meth:`on_train_start`."""
        self._generators = checkpoint["generators"]
