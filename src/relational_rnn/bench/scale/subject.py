"""A large model in training: what it keeps all along, and what a part of a batch takes above."""

from dataclasses import replace
from functools import cached_property

from .. import memory
from ..check import check
from ..rows import ROWS, Case
from ..timing import timed
from ..work import Training

WARM_UP_SHARE = 10  # the first training step sees this fraction of the window
CHECKED_WORDS = 8_192  # in float64, and twice with gradients, the whole vocabulary does not fit


class LargeTraining:
    """A case under measurement; every question is a method.

    Args:
        case: what to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = ROWS[case.row].device

    def check(self) -> float:
        """Seconds that it took to find that core and model compute what the reference does.

        The core is that of the case, the vocabulary is cut to 8,192 words.

        Raises:
            ArithmeticError: they do not.
        """
        words = min(self.case.vocabulary_size, CHECKED_WORDS)
        return timed(lambda: check(replace(self.case, vocabulary_size=words)), self.device)

    @cached_property
    def training(self) -> Training:
        """The model, with gradients and the optimizer's state."""
        training = Training(self.case)
        self._backward(training, 1)
        training.update()
        return training

    def sizes(self) -> dict[str, int]:
        """Number of parameters, and bytes of what the training keeps, added up tensor by tensor."""
        weights = list(self.training.model.parameters())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        states = self.training.optimizer.state.values()
        kept = [tensor for state in states for tensor in state.values() if tensor.dim()]
        return {
            "parameters": sum(weight.numel() for weight in weights),
            "weights_bytes": sum(weight.nbytes for weight in weights),
            "gradients_bytes": sum(gradient.nbytes for gradient in gradients),
            "optimizer_bytes": sum(tensor.nbytes for tensor in kept),
        }

    def peak_mb(self, streams: int) -> float:
        """Megabytes of forward and backward of so many streams, above all that is kept."""
        training = self.training
        return memory.peak_during(lambda: self._backward(training, streams), self.device)

    def forward_backward(self, streams: int) -> float:
        """Seconds of forward and backward of so many streams."""
        training = self.training
        return timed(lambda: self._backward(training, streams), self.device)

    def update(self) -> float:
        """Seconds of clipping and the optimizer's step."""
        return timed(self.training.update, self.device)

    def whole_step(self) -> dict[str, float]:
        """One step of the whole batch, in the micro-batches of the configuration.

        The optimizer's state is there before, from a step on a tenth of the window; gradients are
        not, as between the steps of a training.

        Returns:
            seconds; peak_mb, above weights and optimizer state; process_mb, at the peak in all.
        """
        training = Training(self.case)
        training.step(length=max(1, training.config.bptt // WARM_UP_SHARE))
        before = memory.resident()
        seconds: list[float] = []
        peak = memory.peak_during(
            lambda: seconds.append(timed(training.step, self.device)), self.device
        )
        return {"seconds": seconds[0], "peak_mb": peak, "process_mb": before + peak}

    def _backward(self, training: Training, streams: int) -> None:
        training.backward(
            training.tokens[:, :streams].contiguous(),
            training.targets[:, :streams].contiguous(),
            training.model.initial_state(streams),
            share=streams / training.config.batch_size,
        )
