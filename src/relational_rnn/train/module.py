"""What the Lightning modules of all tasks share: optimizer, averaged weights, loss, checkpoint."""

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
from . import generators
from .optimizers import build_optimizer


class TrainingModule(LightningModule):
    """A model in training.

    Args:
        config: all of it.
        model: what is trained.
        origin: says where checkpoints belong, see :mod:`.checkpoints`.

    Attributes:
        unit: what is counted to tell how much was trained on.
        measures: what a validation gives beside the loss.
        parts: number of parts that a batch is divided into.
        loss_sum: sum of the losses of this process's steps since it was last taken.
        bad_step: the first step whose loss was not finite, 0 for none.
    """

    unit: str
    measures: tuple[str, ...]

    def __init__(self, config: TaskConfig, model: nn.Module, origin: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.origin = origin
        self.training_config = config
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
        """The model whose weights count: the averaged one, once there is an average."""
        if self.averaged is not None and self.averaged.n_averaged > 0:
            return self.averaged.module
        return self.model

    @staticmethod
    def describe(scores: dict[str, float]) -> str:
        """What a loss alone, or a validation, says, for people."""
        raise NotImplementedError

    def rate_of(self, batch: Any) -> float:
        """Factor of the learning rate for a batch."""
        return 1.0

    def training_scores(self, loss: float) -> dict[str, float]:
        """Columns of a row of metrics that follow from the training loss."""
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """The loss and the measures of a validation, the same on every process."""
        raise NotImplementedError

    def error(self, scores: dict[str, float]) -> float:
        """What the validations of a run are compared by, from the scores of one; least is best."""
        return scores["loss"]

    def row_written(self, loss: float) -> None:
        """A row of metrics with this training loss was written, on every process."""

    def configure_optimizers(self) -> Optimizer:
        """One optimizer; its learning rate is set before each step."""
        return build_optimizer(self.training_config, self.model)

    def on_train_start(self) -> None:
        """Every process draws other numbers, and after a resume those that would have come."""
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=exact, device=self.device)
        self.bad_step = torch.zeros((), dtype=torch.int64, device=self.device)
        if self._generators is None:
            torch.manual_seed((self.training_config.seed << 16) + self.global_rank)
        else:
            generators.restore(self._generators, self.global_rank, self.device)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm, here because Lightning refuses to with a fused optimizer."""
        if self.training_config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.training_config.clip)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(weight.isfinite().all()) for weight in self.model.parameters())

    def update_average(self) -> None:
        """Take the weights into the average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def take_loss_sum(self) -> float:
        """The sum of the losses since the last call, the mean of all processes'."""
        value = self.mean_of_processes(self.loss_sum).item()
        self.loss_sum.zero_()
        return value

    def mean_of_processes(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        return torch.as_tensor(self.trainer.strategy.reduce(value, reduce_op="mean"))

    def note(self, loss: Tensor) -> None:
        """Keep the loss on the device: to look at it is to wait for it."""
        self.loss_sum += loss / self.parts
        good = loss.isfinite() | (self.bad_step > 0)
        self.bad_step = torch.where(good, self.bad_step, self.trainer.global_step + 1)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes."""
        if self.trainer.world_size == 1:
            return [tensor]
        gathered: Any = self.all_gather(tensor)
        return list(gathered.unbind(0))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where it belongs, and every process's generators."""
        checkpoint["origin"] = self.origin
        checkpoint["generators"] = generators.save(self.device, self.gather)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the generators."""
        self._generators = checkpoint["generators"]
