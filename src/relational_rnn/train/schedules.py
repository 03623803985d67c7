"""Learning rate schedules, as factors of the highest learning rate."""

import math

from ..config import TrainingConfig

ONE_CYCLE_RISE = 0.3  # fraction of the steps in which one cycle rises, as in fastai
ONE_CYCLE_START = 1 / 25  # its first learning rate, as a fraction of the highest
TRAPEZOID_FALL = 0.2  # fraction of the steps in which the trapezoid falls


def factor(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Factor of the learning rate for the step that follows ``step`` completed steps.

    The plateau schedule depends on validation (see ``TrainingState``); here its factor is 1 after
    the warm-up.

    Args:
        config: ``schedule``, ``warmup_steps`` and ``final_fraction``.
        step: steps completed so far.
        total_steps: steps of the whole training.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    # The curve ends at the last step, which is step total_steps - 1.
    span = max(1, total_steps - 1 - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    if config.schedule == "cosine":
        return _half_cosine(1.0, config.final_fraction, progress)
    if config.schedule == "one-cycle":
        if progress < ONE_CYCLE_RISE:
            return _half_cosine(ONE_CYCLE_START, 1.0, progress / ONE_CYCLE_RISE)
        fall = (progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE)
        return _half_cosine(1.0, config.final_fraction, fall)
    if config.schedule == "trapezoid":
        fall = max(0.0, progress - (1 - TRAPEZOID_FALL)) / TRAPEZOID_FALL
        return 1 + (config.final_fraction - 1) * fall
    return 1.0


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
