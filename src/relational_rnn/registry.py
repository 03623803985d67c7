"""The one place that knows all tasks: what each is made of, and the models of its runs.

An entry names its parts by their import paths below this package, as Python's entry points do. That
keeps the table plain data: it imports neither torch, for a command that only has to name a task,
nor Lightning, and it may name the training above it without importing upwards. A test resolves
every path.

A new task needs a configuration class (in ``config``), a task (in ``tasks``) and an entry here.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from .config import GeneratedConfig, TaskConfig
from .config.fields import deciding
from .errors import UserError
from .runs import Run

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .models import TaskModel
    from .models.language_model import LanguageModel
    from .tasks.language_modeling import Vocabulary
    from .tasks.task import GeneratedTask

Metric = Literal["perplexity", "accuracy"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a task is made of.

    Attributes:
        metric: figure that its models are compared by, on the validation and the test data.
        model: class of its model, called as ``model(config, **sizes)``.
        training: class of its :class:`~.train.training_task.TrainingTask`, called with the
            configuration.
        corpus: function that opens the text named by the field ``data``; None for a task whose
            examples are generated.
        task: class of its :class:`~.tasks.task.GeneratedTask`; None for a text.
    """

    metric: Metric
    model: str
    training: str
    corpus: str | None = None
    task: str | None = None


REGISTRY = {
    "language-modeling": Entry(
        metric="perplexity",
        model="models.language_model:LanguageModel",
        training="train.training_task:TextTask",
        corpus="tasks.language_modeling:open_corpus",
    ),
    "nth-farthest": Entry(
        metric="accuracy",
        model="models:SequenceClassifier",
        training="train.training_task:ReasoningTask",
        task="tasks.nth_farthest:NthFarthest",
    ),
    "programs": Entry(
        metric="accuracy",
        model="models:EncoderDecoder",
        training="train.training_task:ReasoningTask",
        task="tasks.programs:Programs",
    ),
    "memorization": Entry(
        metric="accuracy",
        model="models:EncoderDecoder",
        training="train.training_task:ReasoningTask",
        task="tasks.memorization:Memorization",
    ),
    "state-tracking": Entry(
        metric="accuracy",
        model="models:SequenceTagger",
        training="train.training_task:ReasoningTask",
        task="tasks.state_tracking:StateTracking",
    ),
    "associative-recall": Entry(
        metric="accuracy",
        model="models:SequenceTagger",
        training="train.training_task:ReasoningTask",
        task="tasks.associative_recall:AssociativeRecall",
    ),
}
"""The entry of each task, by the name that ``task`` has in its configurations."""


def entry(config: TaskConfig) -> Entry:
    """The entry of a configuration's task."""
    return REGISTRY[config.task]


def resolve(path: str) -> Any:
    """The object at an import path below this package, such as ``"models:EncoderDecoder"``."""
    module, name = path.split(":")
    return getattr(import_module(f".{module}", __package__), name)


def is_generated(config: TaskConfig) -> bool:
    """Whether the examples of the configuration's task are generated, not read from a text."""
    return entry(config).corpus is None


def build_task(config: TaskConfig, *, training: bool) -> "GeneratedTask":
    """The generated task of a configuration: with its curriculum in training, else the test.

    The constructor's arguments are the fields that decide what the task asks, and ``curriculum``.

    Raises:
        InvalidArgumentError: a value that the task does not allow.
    """
    path = entry(config).task
    if path is None:
        raise TypeError(f"{config.task} is not a generated task")
    names = {*deciding(type(config), "task"), "curriculum"} - {"task"}
    values = {name: getattr(config, name) for name in names}
    if not training:
        values["curriculum"] = "maximum"
    return cast("GeneratedTask", resolve(path)(**values))


def build_model(config: TaskConfig, **sizes: int) -> "nn.Module":
    """An untrained model.

    Args:
        config: its task, and all fields of the model.
        **sizes: of a text, see :func:`text_sizes`; a generated task has its own.
    """
    if is_generated(config):
        sizes = build_task(config, training=False).model_sizes
    return cast("nn.Module", resolve(entry(config).model)(config, **sizes))


def text_sizes(vocabulary: "Vocabulary") -> dict[str, int]:
    """What :func:`build_model` has to know of a text."""
    return {"vocabulary_size": len(vocabulary), "eos": vocabulary.eos}


def build_task_model(config: GeneratedConfig) -> "TaskModel":
    """An untrained model of a generated task."""
    return cast("TaskModel", build_model(config))


def load_model(run: Run, device: "torch.device | str" = "cpu") -> "nn.Module":
    """The trained model of a run on ``device``, in eval mode.

    It has the best weights, from the best checkpoint where their own file is missing; or the last
    ones of a run stopped before its first validation.

    Raises:
        UserError: the run has no weights yet, they are lost, damaged or not finite, or they do not
            fit.
    """
    sizes = {} if is_generated(run.config) else text_sizes(run.vocabulary)
    model = build_model(run.config, **sizes)
    load_weights_of(run, model)
    return model.to(device).eval()


def load_weights_of(run: Run, model: "nn.Module") -> None:
    """Read the weights that :func:`load_model` chooses into a model of equal sizes.

    Raises:
        UserError: see there.
    """
    from .weights import load_checkpoint, load_weights

    if run.weights_path.is_file():
        load_weights(model, run.weights_path)
    elif run.best_path.is_file():
        load_checkpoint(model, run.best_path)
    elif run.last_path.is_file():
        load_checkpoint(model, run.last_path)
    else:
        raise UserError(f"{run.weights_path}: no trained model yet; {run.how_to_resume}")


def load_task_model(run: Run, device: "torch.device | str" = "cpu") -> "TaskModel":
    """As :func:`load_model`, of a run that must be of a generated task."""
    if not is_generated(run.config):
        raise UserError(f"{run.folder}: its task is {run.config.task}, not a generated one")
    return cast("TaskModel", load_model(run, device))


def load_language_model(run: Run, device: "torch.device | str" = "cpu") -> "LanguageModel":
    """As :func:`load_model`, of a run that must be of language-modeling.

    Raises:
        UserError: the run is of another task.
    """
    if is_generated(run.config):
        raise UserError(f"{run.folder}: its task is {run.config.task}, not language-modeling")
    return cast("LanguageModel", load_model(run, device))
