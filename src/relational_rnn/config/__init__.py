"""Configurations: one flat dataclass a task; the docstring of a field is its help text."""

from .core import CoreConfig
from .files import TASKS, load, save, shipped
from .language_modeling import LanguageModelingConfig
from .training import TrainingConfig

__all__ = [
    "TASKS",
    "CoreConfig",
    "LanguageModelingConfig",
    "TrainingConfig",
    "load",
    "save",
    "shipped",
]
