"""What the configurations of all tasks have in common."""

from dataclasses import dataclass

from .core import CoreConfig
from .training import TrainingConfig


@dataclass(kw_only=True)
class TaskConfig(TrainingConfig, CoreConfig):
    """Any task."""

    task: str
    """The task that this configuration is for."""

    def __post_init__(self) -> None:
        CoreConfig.__post_init__(self)
        TrainingConfig.__post_init__(self)

    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing in this configuration, each with the reason."""
        return CoreConfig.without_effect(self) | TrainingConfig.without_effect(self)
