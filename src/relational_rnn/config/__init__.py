"""Configurations: one flat dataclass a task; each field is declared once, see :mod:`.fields`."""

from .core import CoreConfig
from .files import describe_shipped, load, save, shipped
from .language_modeling import LanguageModelingConfig
from .reasoning import (
    GeneratedConfig,
    MemorizationConfig,
    NthFarthestConfig,
    ProgramsConfig,
    WritingConfig,
)
from .training import TASKS, TaskConfig, TrainingConfig

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
    "describe_shipped",
    "load",
    "save",
    "shipped",
]
