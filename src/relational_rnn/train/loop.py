"""The loop around the steps: learning rate, metrics, validation, checkpoints, stopping."""

import math
import signal
import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from ..config import TaskConfig
from ..errors import FullDiskError, UserError
from ..files import link
from ..runs import Run
from ..signals import Stopper
from ..weights import save_weights
from .checkpoints import AtomicCheckpointIO
from .display import Display, Silent, open_display
from .metrics import Metrics, RunLogger, columns
from .module import TrainingModule
from .reasoning import Examples
from .state import TrainingState
from .text import Batch

CHECK_EVERY = 10  # steps; on a GPU, reading a loss waits for the device


class Loop(Callback):
    """Drives a run; :attr:`state` holds everything that changes from step to step.

    The order after a step is: metrics, validation, checkpoint. A checkpoint is thus complete, and a
    resumed run repeats what followed it to the same bits.

    Args:
        config: the configuration of the run.
        run: the folder to write to.
        total_steps: the step at which training ends.
        checkpoint_io: writes the checkpoints.
        stopper: catches the signals; deferred until the step in progress is saved.

    Attributes:
        logger: receives the rows of metrics.csv as well; set in the first process only.
        stopped_by: number of the signal that stopped training, 0 for none.
    """

    def __init__(
        self,
        config: TaskConfig,
        run: Run,
        total_steps: int,
        checkpoint_io: AtomicCheckpointIO,
        stopper: Stopper,
    ) -> None:
        self.config = config
        self.run = run
        self.total_steps = total_steps
        self.checkpoint_io = checkpoint_io
        self.stopper = stopper
        self.logger: RunLogger | None = None
        self.state = TrainingState()
        self.saved_step = 0
        self.stopped_by = 0
        self.display: Display = Silent()
        self.metrics: Metrics | None = None
        self.loss = math.nan
        self.rate = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The training state, for the checkpoint."""
        return self.state.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.state.load_state_dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open metrics and display, and defer signals to the end of a step."""
        self.stopper.check()
        self.stopper.install()  # Lightning has put its own handler of SIGTERM in front
        self.stopper.defer(self._acknowledge)
        self.saved_step = self.state.step
        if trainer.is_global_zero:
            self.metrics = Metrics(
                self.run.metrics_path,
                columns(pl_module),
                step=self.state.step,
                logger=self.logger,
                digest=self.state.rows,
            )
            self.state.rows = self.metrics.digest
            self.display = open_display(self.total_steps, self.state.step)
            size = sum(parameter.numel() for parameter in pl_module.model.parameters())
            done = self.state.step
            over = done >= self.total_steps or self.state.out_of_patience(self.config)
            self.display.say(
                f"{self.run.folder}: {self.config.model} with {size:,} parameters · "
                + ("no steps left" if over else f"steps {done + 1} to {self.total_steps}")
                + f" on {pl_module.device.type}"
            )
        if self.state.out_of_patience(self.config):
            trainer.should_stop = True
        self.session_start = time.monotonic() - self.state.seconds
        self.session_cpu_start = time.process_time() - self.state.cpu_seconds
        self.row_seconds, self.row_tokens = 0.0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Batch | Examples, batch_idx: int
    ) -> None:
        """Set the learning rate."""
        self.batch_start = time.monotonic()
        scheduled = self.state.learning_rate(self.config, self.total_steps)
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
        """After the last micro-batch of a step: log, validate, save."""
        self.row_seconds += time.monotonic() - self.batch_start
        state, config = self.state, self.config
        if trainer.global_step == state.step:
            return
        state.advance(trainer.global_step, batch, config.batch_size)
        self.row_tokens += batch.amount * config.batch_size
        if config.averaging == "ema" or state.averaging:
            pl_module.update_average()
        validate = self._due(config.validate_every) or state.step == self.total_steps
        validate |= config.validate_every is None and batch.last
        save = validate or self._due(config.checkpoint_every)
        if save or pl_module.device.type == "cpu" or self._due(CHECK_EVERY):
            save |= self._agree(trainer, pl_module)
        speed = self.row_tokens / self.row_seconds
        if validate or self._due(config.log_every):
            self._log(pl_module, speed, validate=validate)
        if validate and not self.stopped_by:  # a signal may have come during the validation
            self._agree(trainer, pl_module)
        text = pl_module.describe({"loss": self.loss})
        self.display.step(state.step, text, f"{speed:,.0f} {pl_module.unit}/s")
        if save:
            improved = validate and state.best_step == state.step
            self._save(trainer, pl_module, best=improved)
        if self.stopped_by or state.out_of_patience(config):
            trainer.should_stop = True

    def close(self, status: str) -> None:
        """Close display and logger, and let signals raise again.

        Args:
            status: for the logger: "finished", "failed" or "aborted".
        """
        self.stopper.resume_raising()
        self.display.close()
        self.display = Silent()
        if self.logger is not None:
            self.logger.close(status)

    def _acknowledge(self, number: int) -> None:
        # Only after Ctrl-C are the best weights evaluated; see Result.summary.
        then = ", then evaluating; Ctrl-C again to stop now" if number == signal.SIGINT else ""
        self.display.notify(f"stopping after this step{then}")

    def _due(self, every: int | None) -> bool:
        return every is not None and self.state.step % every == 0

    def _agree(self, trainer: Trainer, module: TrainingModule) -> bool:
        """Agree with all processes to stop if one of them must; return whether to stop."""
        caught = torch.full_like(module.bad_step, self.stopper.caught)
        found = trainer.strategy.reduce(torch.stack((module.bad_step, caught)), reduce_op="max")
        bad_step, self.stopped_by = torch.as_tensor(found).tolist()
        if bad_step:
            self._refuse(f"the loss or the gradient of step {bad_step} is not finite")
        return bool(self.stopped_by)

    def _refuse(self, what: str) -> None:
        kept = f"{self.run.last_path} of step {self.saved_step} is kept"
        raise UserError(
            f"{what}: training stopped, {kept if self.saved_step else 'nothing was saved yet'}; "
            "try a lower learning_rate or clip"
        )

    def _log(self, module: TrainingModule, speed: float, *, validate: bool) -> None:
        """Write a row of metrics, with validation if ``validate``."""
        state = self.state
        state.loss_sum += module.take_loss_sum()
        self.loss = state.loss_sum / state.loss_steps
        state.loss_sum, state.loss_steps = 0.0, 0
        self.row_seconds, self.row_tokens = 0.0, 0
        row = {
            "step": state.step,
            "epoch": state.epoch,
            module.unit: state.tokens,
            "learning_rate": self.rate,
            "train_loss": self.loss,
            f"{module.unit}_per_s": round(speed, 1),
            **module.training_scores(self.loss),
        }
        state.cpu_seconds = time.process_time() - self.session_cpu_start
        if validate:
            with self.display.during_validation():
                scores = module.validate()
            self.session_cpu_start = time.process_time() - state.cpu_seconds
            if not math.isfinite(scores["loss"]):
                self._refuse(f"the validation loss of step {state.step} is not finite")
            improved = state.validated(self.config, module.error(scores))
            row |= {f"valid_{name}": value for name, value in scores.items()}
            self.display.say(
                f"step {state.step} · train {module.describe({'loss': self.loss})} · "
                f"valid {module.describe(scores)}{' · best' if improved else ''}"
            )
        module.row_written(self.loss)
        state.seconds = time.monotonic() - self.session_start
        if self.metrics is not None:
            times = {"seconds": state.seconds, "cpu_seconds": state.cpu_seconds}
            self.metrics.add(row | {name: round(value, 3) for name, value in times.items()})
            state.rows = self.metrics.digest

    def _save(self, trainer: Trainer, module: TrainingModule, *, best: bool) -> None:
        """Save the last checkpoint, which may also be the best."""
        if not module.is_finite():
            self._refuse(f"the weights after step {self.state.step} are not finite")
        self.state.loss_sum += module.take_loss_sum()
        self.state.seconds = time.monotonic() - self.session_start
        self.state.cpu_seconds = time.process_time() - self.session_cpu_start
        trainer.save_checkpoint(self.run.last_path)
        error = trainer.strategy.broadcast(str(self.checkpoint_io.error or ""))
        if error:
            raise FullDiskError(error)
        if best and trainer.is_global_zero:
            # The last first: if killed in between, the resumed run makes the best from it.
            link(self.run.last_path, self.run.best_path)
            save_weights(module.evaluated, self.run.weights_path)
        self.saved_step = self.state.step
