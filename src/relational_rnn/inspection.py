"""Record the attention and the gates of a trained memory at every step of one example.

Letters: T steps, H heads, N slots, n input rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import UserError
from .generate import generate
from .models import TaskModel
from .models.language_model import LanguageModel
from .nn.relational_memory import RelationalMemory, Trace
from .printable import printable, shortened
from .registry import build_task, is_generated, load_language_model, load_task_model
from .runs import Run
from .tasks.language_modeling import encode_prompt, read_prompt
from .tasks.language_modeling.tokenization import EOS
from .tasks.sampling import BatchSource

LONGEST_STEP = 60  # letters of a word that a picture shows
OWN_WORDS = 12  # of a language model that is inspected without a prompt


class Inspection(NamedTuple):
    """The attention and the gates of one example.

    Attributes:
        title: the example and the model's answer, in one line.
        steps: the input of each of the T steps, in one word.
        attention: weights ``[T, blocks, H, N + n, N + n]``, queries by keys, slots before input.
        slots: number N of slots.
        input_gate: ``[T, N]``, mean over the units of a slot; None without gates.
        forget_gate: ``[T, N]``, the same; 1 keeps a slot unchanged.
        note: one line about the example: words of the prompt that the model does not know.
    """

    title: str
    steps: list[str]
    attention: Tensor
    slots: int
    input_gate: Tensor | None
    forget_gate: Tensor | None
    note: str | None = None


def inspect(
    run: Run, *, example: int | None = None, layer: int = 1, prompt: str | None = None
) -> Inspection:
    """Record a run's memory while the model works on one example.

    Args:
        run: a trained run with a relational memory.
        example: index of an example of the test set, from 0; for the generated tasks.
        layer: index of the recurrent layer, from 1.
        prompt: text to read, as :func:`.generate.generate` reads it; for language models. Default:
            words that the model generates, with the seed of its run.

    Raises:
        UserError: the model has no relational memory, there is no such example or layer, or the
            prompt cannot be read (see :func:`.read_prompt`).
    """
    config = run.config
    if config.model != "rmc":
        raise UserError(
            f"{run.folder}: the model must be rmc to have memory slots, got {config.model}"
        )
    if not 1 <= layer <= config.num_layers:
        raise UserError(
            f"layer: must be from 1 to {config.num_layers}, the layers of the run, got {layer}"
        )
    if example is not None and example < 0:
        raise UserError(f"example: must be at least 0, got {example}")
    if not is_generated(config):
        if example is not None:
            raise UserError(f"example: {run.folder} is a language model; give --prompt instead")
        return _language(run, layer, prompt)
    if prompt is not None:
        raise UserError(f"prompt: {run.folder} is a run of {config.task}; give --example instead")
    return _generated(run, layer, example or 0)


def _language(run: Run, layer: int, prompt: str | None) -> Inspection:
    vocabulary = run.vocabulary
    read = read_prompt(prompt or "", vocabulary)
    model = load_language_model(run)
    if prompt is None or not prompt.split():
        own = generate(
            model, vocabulary, words=OWN_WORDS, seed=run.config.seed, without_unknown=True
        )
        read = encode_prompt([EOS, *(one.word for one in own)], vocabulary)
    tokens = torch.tensor(read.ids)[:, None]  # [T, 1]
    with Recorder(model, layer) as recorder, torch.no_grad():
        hidden, _ = model.features(tokens, model.initial_state(1))
        best = int(model.head.log_probabilities(hidden[-1:])[0, 0].argmax())
    shown = vocabulary.tokenizer.shown
    likeliest = shown(vocabulary.words[best])
    title = printable(f"{run.name}: the likeliest next word is “{likeliest}”")
    steps = [shortened(printable(shown(word)), LONGEST_STEP) for word in read.words]
    return recorder.inspection(title, steps, read.note)


def _generated(run: Run, layer: int, example: int) -> Inspection:
    config = run.config
    model = load_task_model(run)
    task = build_task(config, training=False)
    source = BatchSource(task, batch_size=1, batches=1, seed=config.seed, stream="test")
    batch = source.batch(example)
    with Recorder(model, layer) as recorder, torch.no_grad():
        logits = model(batch.inputs, batch.input_lengths, batch.targets)
    answer = logits.argmax(dim=-1)  # [1] or [T_out, 1]
    described = task.describe(batch, answer)
    return recorder.inspection(f"{printable(run.name)}: {described.title}", list(described.steps))


class Recorder:
    """Context manager that traces a recurrent layer of a model at every call.

    Args:
        model: a model whose core is rmc; only one thread at a time may call it.
        layer: index of the recurrent layer, from 1.

    Attributes:
        traces: what :meth:`.RelationalMemory.trace` returned, one for each call.
    """

    def __init__(self, model: LanguageModel | TaskModel, layer: int) -> None:
        cores = [part for part in model.modules() if isinstance(part, RelationalMemory)]
        self.core = cores[layer - 1]
        self.traces: list[Trace] = []

    def __enter__(self) -> "Recorder":
        self.handle = self.core.register_forward_pre_hook(self._trace, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self.handle.remove()

    def _trace(
        self, core: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor | None]
    ) -> None:
        self.traces.append(self.core.trace(*arguments, reset=named["reset"]))

    def inspection(self, title: str, steps: list[str], note: str | None = None) -> Inspection:
        """The recorded steps, of the first example of the batch."""
        attention = torch.cat([trace.attention for trace in self.traces])[:, :, 0]
        input_gate, forget_gate = (
            None
            if getattr(self.traces[0], name) is None
            else torch.cat([getattr(trace, name) for trace in self.traces])[:, 0].mean(dim=-1)
            for name in ("input_gate", "forget_gate")
        )
        return Inspection(
            title, steps, attention, self.core.mem_slots, input_gate, forget_gate, note
        )
