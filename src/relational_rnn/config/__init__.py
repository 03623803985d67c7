"""Configurations: one flat dataclass a task; each field is declared once, see :mod:`.fields`."""

from .core import CoreConfig
from .files import description_of, load, save, shipped
from .language_modeling import LanguageModelingConfig
from .reasoning import (
    AssociativeRecallConfig,
    GeneratedConfig,
    MemorizationConfig,
    NthFarthestConfig,
    ProgramsConfig,
    StateTrackingConfig,
    TaggingConfig,
    WritingConfig,
)
from .training import TASKS, TaskConfig, TrainingConfig

__all__ = [
    "TASKS",
    "AssociativeRecallConfig",
    "CoreConfig",
    "GeneratedConfig",
    "LanguageModelingConfig",
    "MemorizationConfig",
    "NthFarthestConfig",
    "ProgramsConfig",
    "StateTrackingConfig",
    "TaggingConfig",
    "TaskConfig",
    "TrainingConfig",
    "WritingConfig",
    "description_of",
    "load",
    "save",
    "shipped",
]
