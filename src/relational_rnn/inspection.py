"""What a trained memory looks at: attention and gates at every step of one example.

Letters: T steps, H heads, N slots, n rows of input.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import UserError
from .models import TaskModel
from .models.language_model import LanguageModel
from .nn.relational_memory import RelationalMemory, Trace
from .registry import build_task, is_generated, load_language_model, load_task_model
from .runs import Run
from .tasks.sampling import BatchSource

DEFAULT_PROMPT = "the value of the list is returned if the key is not found ."


class Inspection(NamedTuple):
    """One example as a memory saw it.

    Attributes:
        title: what it is about, in a line.
        steps: what was read at each of the T steps, in a word.
        attention: ``[T, blocks, H, N + n, N + n]``, queries then keys, slots before input.
        slots: number N of slots.
        input_gate: ``[T, N]``, mean over the units of a slot; None without gates.
        forget_gate: likewise; 1 keeps a slot as it was.
    """

    title: str
    steps: list[str]
    attention: Tensor
    slots: int
    input_gate: Tensor | None
    forget_gate: Tensor | None


def inspect(
    run: Run, *, example: int | None = None, layer: int = 1, prompt: str | None = None
) -> Inspection:
    """Look at a run's model while it works on one example.

    Args:
        run: a trained run with a relational memory.
        example: number of the test's example, from 0; for the generated tasks.
        layer: number of the recurrent layer, from 1.
        prompt: words to read; for language models.

    Raises:
        UserError: no relational memory, no such example or layer, a word that is not known.
    """
    config = run.config
    if config.model != "rmc":
        raise UserError(f"{run.folder}: its model is {config.model}, which has no slots to look at")
    if not 1 <= layer <= config.num_layers:
        raise UserError(
            f"layer: {layer} is out of range; the run has layers 1 to {config.num_layers}"
        )
    if example is not None and example < 0:
        raise UserError(f"example: {example} is out of range; it takes a number >= 0")
    if not is_generated(config):
        if example is not None:
            raise UserError(f"example: {run.folder} is a language model; give --prompt instead")
        return _language(run, layer, prompt if prompt and prompt.split() else DEFAULT_PROMPT)
    if prompt is not None:
        raise UserError(f"prompt: {run.folder} is a run of {config.task}; give --example instead")
    return _generated(run, layer, example or 0)


def _language(run: Run, layer: int, prompt: str) -> Inspection:
    words = prompt.split()
    ids = run.vocabulary.encode(words, where="the prompt")
    model = load_language_model(run)
    tokens = torch.as_tensor(ids, dtype=torch.int64)[:, None]  # [T, 1]
    with _Watch(model, layer) as watch, torch.no_grad():
        hidden, _ = model.features(tokens, model.initial_state(1))
        best = int(model.head.log_probabilities(hidden[-1:])[0, 0].argmax())
    title = f"{run.name}: the likeliest next word is “{run.vocabulary.words[best]}”"
    return watch.inspection(title, words)


def _generated(run: Run, layer: int, example: int) -> Inspection:
    config = run.config
    model = load_task_model(run)
    task = build_task(config, training=False)
    source = BatchSource(task, batch_size=1, batches=1, seed=config.seed, stream="test")
    batch = source.batch(example)
    with _Watch(model, layer) as watch, torch.no_grad():
        logits = model(batch.inputs, batch.input_lengths, batch.targets)
    answer = logits.argmax(dim=-1)  # [1] or [T_out, 1]
    told = task.describe(batch, answer)
    return watch.inspection(f"{run.name}: {told.title}", list(told.steps))


class _Watch:
    """Notes what a layer of a model is fed with, while it is entered."""

    def __init__(self, model: LanguageModel | TaskModel, layer: int) -> None:
        cores = [part for part in model.modules() if isinstance(part, RelationalMemory)]
        self.core = cores[layer - 1]
        self.traces: list[Trace] = []

    def __enter__(self) -> "_Watch":
        self.handle = self.core.register_forward_pre_hook(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self.handle.remove()

    def _note(self, core: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self.traces.append(self.core.trace(*arguments))

    def inspection(self, title: str, steps: list[str]) -> Inspection:
        """What was seen, of the first example of the batch."""
        attention = torch.cat([trace.attention for trace in self.traces])[:, :, 0]
        gates = [
            None
            if getattr(self.traces[0], name) is None
            else torch.cat([getattr(trace, name) for trace in self.traces])[:, 0].mean(dim=-1)
            for name in ("input_gate", "forget_gate")
        ]
        return Inspection(title, steps, attention, self.core.mem_slots, *gates)
