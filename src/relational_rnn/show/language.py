"""A language model that reads and continues a text, with what its memory does at every word.

Letters: V vocabulary size, H heads, N slots, n input rows, M width of the memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..generate import ALTERNATIVES, draw_word
from ..inspection import Recorder
from ..models.cores import State
from ..nn.relational_memory import Trace
from ..printable import printable
from ..registry import load_language_model
from ..runs import Run
from ..tasks.language_modeling.tokenization import EOS

DIGITS = 4  # decimals of a share, in a word that is sent to the page


class Reader:
    """The language model of a run, which may read several texts at a time.

    Args:
        run: a run of language-modeling.

    Raises:
        UserError: the run is of another task, or its model cannot be loaded.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = load_language_model(run)
        self.vocabulary = run.vocabulary
        self.layers = run.config.num_layers
        self._lock = Lock()  # a recorder sees every call of the model

    def check(self, tokens: Sequence[object]) -> list[int]:
        """The ids of words, given by the user; raises :class:`UserError` if they are none."""
        size = len(self.vocabulary)
        ids = [id for id in tokens if type(id) is int and 0 <= id < size]
        if not ids or len(ids) < len(tokens):
            raise UserError(f"tokens: must be integers from 0 to {size - 1}, at least one")
        return ids

    def read(self, tokens: list[int], state: State) -> tuple[Tensor, State, list[Trace]]:
        """Read words.

        Args:
            tokens: their ids, at least one.
            state: of the words before.

        Returns:
            Log-probabilities ``[V]`` of the next word, the next state, and what each layer of
            an rmc did at every word; nothing of another core.
        """
        with self._lock, torch.no_grad(), ExitStack() as stack:
            numbers = range(1, self.layers + 1) if self.run.config.model == "rmc" else ()
            recorders = [stack.enter_context(Recorder(self.model, number)) for number in numbers]
            hidden, state = self.model.features(torch.tensor(tokens)[:, None], state)
            scores = self.model.head.log_probabilities(hidden[-1, 0]).float()
        return scores, state, [recorder.traces[0] for recorder in recorders]


def read_on(
    reader: Reader,
    tokens: list[int],
    *,
    known: int = 0,
    words: int = 0,
    temperature: float = 1.0,
    other: Reader | None = None,
) -> Iterator[dict[str, Any]]:
    """Read a text, then continue it; ``<unk>`` is never drawn.

    Args:
        reader: its model reads, and draws the words.
        tokens: ids of the text, from the leading ``<eos>`` on.
        known: words at the beginning of the text that are read, but not returned.
        words: number of words to draw.
        temperature: as of :func:`.generate.generate`.
        other: a model of the same vocabulary that reads the same words.

    Yields:
        A word as it is read: its ``id``, the ``word``, whether it was ``drawn``; what was expected
        before it was read (``probability``, ``loss`` in nats, ``rank`` from 1, ``alternatives`` as
        ``[id, word, probability]``; None for the first word); what it did to the memory
        (``layers``, see :func:`_layers`); and of the other model the ``probability`` and ``loss``
        (``other``, None without one).

    Raises:
        UserError: while reading: the scores of the model are not numbers.
    """
    readers = [reader, *([other] if other else [])]
    states = [one.model.initial_state(1) for one in readers]
    scores: list[Tensor] = []
    if known:
        read = [one.read(tokens[:known], s) for one, s in zip(readers, states, strict=True)]
        scores, states = [one[0] for one in read], [one[1] for one in read]
    generator = torch.Generator()
    generator.seed()
    unknown = reader.vocabulary.unknown
    for place in range(known, len(tokens) + words):
        drawn = place >= len(tokens)
        if drawn:
            id = draw_word(scores[0], generator, temperature=temperature, excluded=unknown)
        else:
            id = tokens[place]
        read = [one.read([id], state) for one, state in zip(readers, states, strict=True)]
        expected = [_expected(reader, each, id) for each in scores]  # none of the first word
        yield {
            "id": id,
            "word": shown(reader, id),
            "drawn": drawn,
            **(expected[0] if expected else {"probability": None}),
            "layers": _layers(states[0], read[0][1], read[0][2], reader.layers),
            "other": expected[1] if other and expected else None,
        }
        scores, states = [one[0] for one in read], [one[1] for one in read]


def shown(reader: Reader, id: int) -> str:
    """A word as the page shows it; a line end is an arrow."""
    word = reader.vocabulary.words[id]
    return "↵" if word == EOS else printable(reader.vocabulary.tokenizer.shown(word))


def _expected(reader: Reader, scores: Tensor, id: int) -> dict[str, Any]:
    """What a model expected before it read a word, from its log-probabilities ``[V]``."""
    loss = -scores[id].item()
    best, ids = scores.topk(min(ALTERNATIVES, len(scores)))
    return {
        "probability": scores[id].exp().item(),
        "loss": round(loss, DIGITS),
        "rank": int((scores > scores[id]).sum()) + 1,
        "alternatives": [
            [id, shown(reader, id), share]
            for id, share in zip(ids.tolist(), best.exp().tolist(), strict=True)
        ],
    }


def _layers(before: State, after: State, traces: list[Trace], layers: int) -> list[dict[str, Any]]:
    """What a word did to the state of each layer.

    Returns:
        Of each layer ``moved``, the distance between its state before and after the word, relative
        to its size after it. Of an rmc also ``to_input`` ``[H]``, the attention of each head to
        the word, mean over the slots, of the last block; and the gates ``input_gate`` and
        ``forget_gate`` ``[N]``, mean over a slot's units (None without gates).
    """
    each = len(before) // layers
    found = []
    for layer in range(layers):
        parts = slice(layer * each, (layer + 1) * each)
        one: dict[str, Any] = {"moved": _moved(before[parts], after[parts])}
        if traces:
            trace = traces[layer]
            slots = before[layer].shape[1]
            attention = trace.attention[-1, -1, 0, :, :slots, slots:]  # [H, N, n]
            one["to_input"] = rounded(attention.sum(dim=-1).mean(dim=-1))
            one["input_gate"] = _gate(trace.input_gate)
            one["forget_gate"] = _gate(trace.forget_gate)
        found.append(one)
    return found


def _gate(values: Tensor | None) -> list[float] | None:
    """The mean over the units of each slot at the last step, from ``[T, B, N, G]``."""
    return None if values is None else rounded(values[-1, 0].mean(dim=-1))


def _moved(before: State, after: State) -> float:
    old, new = (torch.cat([part.flatten() for part in parts]) for parts in (before, after))
    return round(float((new - old).norm() / new.norm().clamp(min=1e-12)), DIGITS)


def rounded(values: Tensor) -> Any:
    """Nested lists of a tensor's shares, short enough to be sent."""
    return (values.double() * 10**DIGITS).round().div(10**DIGITS).tolist()
