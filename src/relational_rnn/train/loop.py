"""What happens around the steps: learning rate, metrics, validation, checkpoints, stopping."""

import math
import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from ..config import TaskConfig
from ..errors import UserError
from ..files import link
from ..runs import Run
from ..weights import save_weights
from .checkpoints import AtomicCheckpointIO
from .course import Course
from .generated import Examples
from .metrics import Metrics, columns
from .module import TrainingModule
from .progress import Display, Silent, open_display
from .signals import Stopper
from .stream import Batch

CHECK_EVERY = 10  # steps; on a GPU, looking at a loss waits for the device


class Loop(Callback):
    """Drives a run; the state of it all is :attr:`course`.

    The order after a step is: metrics, validation, checkpoint. What a checkpoint holds is thus
    complete, and what was done after it is done again, to the same bits, by a resumed run.

    Args:
        config: all of it.
        run: the folder to write to.
        total_steps: at which training ends.
        checkpoint_io: writes the checkpoints.
    """

    def __init__(
        self,
        config: TaskConfig,
        run: Run,
        total_steps: int,
        checkpoint_io: AtomicCheckpointIO,
    ) -> None:
        self.config = config
        self.run = run
        self.total_steps = total_steps
        self.checkpoint_io = checkpoint_io
        self.stopper = Stopper()
        self.course = Course()
        self.saved_step = 0
        self.stopped_by = 0
        self.display: Display = Silent()
        self.metrics: Metrics | None = None
        self.loss = math.nan
        self.rate = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The course, for the checkpoint."""
        return self.course.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.course.load_state_dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open what is written to, and catch signals."""
        self.stopper.install()
        self.saved_step = self.course.step
        if trainer.is_global_zero:
            self.metrics = Metrics(self.run.metrics_path, columns(pl_module), step=self.course.step)
            self.display = open_display(self.total_steps, self.course.step)
            size = sum(parameter.numel() for parameter in pl_module.model.parameters())
            self.display.say(
                f"{self.run.folder}: {self.config.model} with {size:,} parameters · "
                f"steps {self.course.step + 1} to {self.total_steps} on {pl_module.device.type}"
            )
        if self.course.out_of_patience(self.config):
            trainer.should_stop = True
        self.session_start = time.monotonic() - self.course.seconds
        self.row_seconds, self.row_tokens = 0.0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Batch | Examples, batch_idx: int
    ) -> None:
        """Set the learning rate."""
        self.batch_start = time.monotonic()
        scheduled = self.course.learning_rate(self.config, self.total_steps)
        self.rate = scheduled * pl_module.rate_of(batch)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rate

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch | Examples,
        batch_idx: int,
    ) -> None:
        """After the last part of a window, the step is made: log, validate, save."""
        self.row_seconds += time.monotonic() - self.batch_start
        course, config = self.course, self.config
        if trainer.global_step == course.step:
            return
        course.advance(trainer.global_step, batch, config.batch_size)
        self.row_tokens += batch.amount * config.batch_size
        if config.averaging == "ema" or course.averaging:
            pl_module.update_average()
        validate = self._due(config.validate_every) or course.step == self.total_steps
        validate |= config.validate_every is None and batch.last
        save = validate or self._due(config.checkpoint_every)
        if save or pl_module.device.type == "cpu" or self._due(CHECK_EVERY):
            save |= self._agree(trainer, pl_module)
        speed = self.row_tokens / self.row_seconds
        if validate or self._due(config.log_every):
            self._log(pl_module, speed, validate=validate)
        text = pl_module.describe({"loss": self.loss})
        self.display.step(course.step, text, f"{speed:,.0f} {pl_module.unit}/s")
        if save:
            improved = validate and course.best_step == course.step
            self._save(trainer, pl_module, best=improved)
        if self.stopped_by or course.out_of_patience(config):
            trainer.should_stop = True

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Close what was opened, after an error too."""
        self.stopper.restore()
        self.display.close()
        if self.metrics is not None:
            self.metrics.close()

    def _due(self, every: int | None) -> bool:
        return every is not None and self.course.step % every == 0

    def _agree(self, trainer: Trainer, module: TrainingModule) -> bool:
        """Stop all processes when one of them has a reason to; return whether to stop."""
        signal = torch.full_like(module.bad_step, self.stopper.caught)
        found = trainer.strategy.reduce(torch.stack((module.bad_step, signal)), reduce_op="max")
        bad_step, self.stopped_by = torch.as_tensor(found).tolist()
        if bad_step:
            self._refuse(f"the loss of step {bad_step} is not finite")
        return bool(self.stopped_by)

    def _refuse(self, what: str) -> None:
        kept = f"kept: {self.run.last_path}, of step {self.saved_step}"
        raise UserError(
            f"{what}: stopped; {kept if self.saved_step else 'nothing had been saved yet'}; "
            "try a lower learning_rate or clip"
        )

    def _log(self, module: TrainingModule, speed: float, *, validate: bool) -> None:
        """Write a row of metrics, with validation if that is due."""
        course = self.course
        course.loss_sum += module.take_loss_sum()
        self.loss = course.loss_sum / course.loss_steps
        course.loss_sum, course.loss_steps = 0.0, 0
        self.row_seconds, self.row_tokens = 0.0, 0
        row = {
            "step": course.step,
            "epoch": course.epoch,
            module.unit: course.tokens,
            "learning_rate": self.rate,
            "train_loss": self.loss,
            f"{module.unit}_per_s": round(speed, 1),
            **module.training_scores(self.loss),
        }
        if validate:
            scores = module.validate()
            if not math.isfinite(scores["loss"]):
                self._refuse(f"the validation loss of step {course.step} is not finite")
            improved = course.validated(self.config, module.error(scores))
            row |= {f"valid_{name}": value for name, value in scores.items()}
            self.display.say(
                f"step {course.step} · train {module.describe({'loss': self.loss})} · "
                f"valid {module.describe(scores)}{' · best' if improved else ''}"
            )
        module.row_written(self.loss)
        course.seconds = time.monotonic() - self.session_start
        if self.metrics is not None:
            self.metrics.add(row | {"seconds": round(course.seconds, 3)})

    def _save(self, trainer: Trainer, module: TrainingModule, *, best: bool) -> None:
        """Save the last checkpoint, which may be the best too."""
        if not module.is_finite():
            self._refuse(f"the weights after step {self.course.step} are not finite")
        self.course.loss_sum += module.take_loss_sum()
        self.course.seconds = time.monotonic() - self.session_start
        path = self.run.best_path if best else self.run.last_path
        trainer.save_checkpoint(path)
        error = trainer.strategy.broadcast(str(self.checkpoint_io.error or ""))
        if error:
            raise UserError(error)
        if best and trainer.is_global_zero:
            # The best first: cut off in between, the older last checkpoint comes to it again.
            save_weights(module.evaluated, self.run.weights_path)
            link(path, self.run.last_path)
        self.saved_step = self.course.step
