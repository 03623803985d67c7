"""How the values of a trial are chosen, and how they are held in the database."""

import warnings
from typing import TYPE_CHECKING, Any

from .plan import Plan
from .space import Choices, Dimension

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


def sampler_of(plan: Plan, number: int) -> "BaseSampler":
    """The sampler of one trial, with a seed of its own: no two processes draw the same."""
    import numpy as np
    from optuna import samplers

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.sampler == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)
    sampler = samplers.RandomSampler(seed=seed)
    if not plan.rows:
        return sampler
    row = plan.rows[min(number, len(plan.rows) - 1)]
    stored = {name: _stored(plan.space[name], value) for name, value in row.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", since 2020
        return samplers.PartialFixedSampler(stored, sampler)


def suggest(trial: "Trial", name: str, dimension: Dimension) -> Any:
    """The value of a field in a trial: the one that it has already, or the sampler's."""
    if isinstance(dimension, Choices):
        return value_of(dimension, trial.suggest_categorical(name, dimension.stored))
    if dimension.whole:
        low, high, step = int(dimension.low), int(dimension.high), int(dimension.step or 1)
        return trial.suggest_int(name, low, high, step=step, log=dimension.log)
    return trial.suggest_float(
        name, dimension.low, dimension.high, step=dimension.step, log=dimension.log
    )


def value_of(dimension: Dimension, stored: Any) -> Any:
    """The value of a field, from the database's."""
    if isinstance(dimension, Choices):
        return dimension.values[dimension.stored.index(stored)]
    return stored


def _stored(dimension: Dimension, value: Any) -> Any:
    assert isinstance(dimension, Choices)
    return dimension.stored[dimension.values.index(value)]
