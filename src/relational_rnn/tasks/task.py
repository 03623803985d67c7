"""The generated tasks by their configuration."""

from ..config import GeneratedConfig, MemorizationConfig, NthFarthestConfig, ProgramsConfig
from .memorization import Memorization
from .nth_farthest import NthFarthest
from .programs import Programs

GeneratedTask = NthFarthest | Programs | Memorization


def build_task(config: GeneratedConfig, *, training: bool) -> GeneratedTask:
    """The task that a configuration describes; in training with its curriculum, else the test.

    Raises:
        InvalidArgumentError: something that the task does not take.
    """
    if isinstance(config, NthFarthestConfig):
        return NthFarthest(
            config.objects,
            config.features,
            config.order,
            curriculum=config.curriculum if training else "maximum",
        )
    if isinstance(config, ProgramsConfig):
        return Programs(
            config.category,
            length=config.length,
            nesting=config.nesting,
            curriculum=config.curriculum if training else "maximum",
        )
    if isinstance(config, MemorizationConfig):
        return Memorization(
            config.category,
            length=config.length,
            curriculum=config.curriculum if training else "maximum",
        )
    raise TypeError(f"{type(config).__name__} is not the configuration of a generated task")
