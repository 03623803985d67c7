"""Configurations: one flat dataclass a task; the docstring of a field is its help text."""

from .core import CoreConfig
from .files import TASKS, load, save, shipped
from .generated import (
    GeneratedConfig,
    MemorizationConfig,
    NthFarthestConfig,
    ProgramsConfig,
    WritingConfig,
)
from .language_modeling import LanguageModelingConfig
from .task import TaskConfig
from .training import TrainingConfig

__all__ = [
    "TASKS",
    "CoreConfig",
    "GeneratedConfig",
    "LanguageModelingConfig",
    "MemorizationConfig",
    "NthFarthestConfig",
    "ProgramsConfig",
    "TaskConfig",
    "TrainingConfig",
    "WritingConfig",
    "load",
    "save",
    "shipped",
]
