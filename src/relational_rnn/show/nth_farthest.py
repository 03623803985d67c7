"""Nth farthest as points in a plane: an example, and how a model answers it step by step.

Letters: T steps, O objects, F features, H heads, N slots, n input rows.
"""

from contextlib import ExitStack
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import NthFarthestConfig
from ..errors import UserError
from ..inspection import Recorder
from ..models import SequenceClassifier
from ..registry import build_task, load_task_model
from ..runs import Run
from ..tasks.nth_farthest import decode, encode, label
from .language import rounded

MOST_OBJECTS = 24
MOST_FEATURES = 256


class Question(NamedTuple):
    """Which object is ``n``-th by distance from object ``m``?"""

    vectors: Tensor  # [O, F], in order of presentation
    ids: Tensor  # [O] int64, of each vector
    m: Tensor  # [1] int64
    n: Tensor  # [1] int64, from 0


class Answerer:
    """The model of a run of Nth farthest.

    Args:
        run: a run of nth-farthest.

    Raises:
        UserError: the run is of another task, its model cannot be loaded, or its examples are too
            large to be drawn.
    """

    def __init__(self, run: Run) -> None:
        config = run.config
        if not isinstance(config, NthFarthestConfig):
            raise UserError(f"{run.title}: its task must be nth-farthest, got {config.task}")
        if config.objects > MOST_OBJECTS or config.features > MOST_FEATURES:
            raise UserError(
                f"{run.title}: at most {MOST_OBJECTS} objects of {MOST_FEATURES} features can be "
                f"drawn, got {config.objects} of {config.features}"
            )
        self.config = config
        model = load_task_model(run)
        assert isinstance(model, SequenceClassifier)
        self.model = model
        self._lock = Lock()  # a recorder sees every call of the model

    def example(self, seed: int) -> dict[str, Any]:
        """An example of the test's distribution, and the plane in which its vectors are drawn.

        Returns:
            The question as :meth:`question` takes it; ``order``, "nearest" or "farthest"; the
            plane's origin ``mean`` ``[F]`` and axes ``basis`` ``[2, F]``; and the ``share`` of the
            vectors' variance that lies in it.
        """
        task = build_task(self.config, training=False)
        batch = task.sample(1, np.random.SeedSequence(seed), "cpu")
        vectors, ids, m, n = (part[:, 0] for part in decode(batch.inputs, self.config.objects))
        mean, basis, share = plane(vectors)
        return {
            "vectors": vectors.tolist(),
            "ids": ids.argmax(dim=-1).tolist(),
            "m": int(m[0].argmax()),
            "n": int(n[0].argmax()),
            "order": self.config.order,
            "mean": mean.tolist(),
            "basis": basis.tolist(),
            "share": share,
        }

    def question(self, given: dict[str, Any]) -> Question:
        """A question that the user has made of an example.

        Args:
            given: ``vectors`` (O lists of F numbers from -1 to 1), ``ids`` (O of them), ``m`` (an
                id) and ``n`` (from 0 to O - 1).

        Raises:
            UserError: it is not a question of the run's task.
        """
        O, F = self.config.objects, self.config.features  # noqa: E741
        try:
            vectors = torch.tensor(given["vectors"], dtype=torch.float32)
            ids, m, n = (torch.tensor(given[key]) for key in ("ids", "m", "n"))
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
            vectors = ids = m = n = torch.empty(0)
        if vectors.shape != (O, F) or not bool((vectors.abs() <= 1).all()):
            raise UserError(f"vectors: must be {O} lists of {F} numbers from -1 to 1")
        if ids.dtype != torch.int64 or sorted(ids.flatten().tolist()) != list(range(O)):
            raise UserError(f"ids: must be the integers from 0 to {O - 1} in any order")
        for name, value in (("m", m), ("n", n)):
            if value.dtype != torch.int64 or value.dim() or not 0 <= int(value) < O:
                raise UserError(f"{name}: must be an integer from 0 to {O - 1}")
        return Question(vectors, ids.flatten(), m[None], n[None])

    def answer(self, asked: Question) -> dict[str, Any]:
        """How the model answers.

        Returns:
            ``correct``, the right answer; ``distances`` ``[O]`` of the objects from m, by id;
            ``probabilities`` ``[T, O]`` of the answers after each step, by id, of which the model
            was trained to give the last; and ``layers``: of each layer of an rmc the ``attention``
            ``[T, H, N, N + n]`` of its slots in the last block, and the gates ``input_gate`` and
            ``forget_gate`` ``[T, N]``, mean over a slot's units (None without gates).
        """
        O = self.config.objects  # noqa: E741
        vectors = asked.vectors
        inputs = encode(vectors[:, None], asked.ids[:, None], asked.m, asked.n, O)  # [T, 1, I]
        correct = label(vectors[None], asked.ids[None], asked.m, asked.n, self.config.order)
        by_id = torch.empty_like(vectors).index_copy(0, asked.ids, vectors)
        numbers = range(1, self.config.num_layers + 1) if self.config.model == "rmc" else ()
        with self._lock, torch.no_grad(), ExitStack() as stack:
            recorders = [stack.enter_context(Recorder(self.model, number)) for number in numbers]
            output, _ = self.model.read_and_answer(inputs, torch.tensor([O]), correct)
            probabilities = self.model.readout(output)[:, 0].softmax(dim=-1)
        return {
            "correct": int(correct),
            "distances": rounded((by_id - by_id[asked.m]).norm(dim=-1)),
            "probabilities": rounded(probabilities),
            "layers": [_layer(recorder) for recorder in recorders],
        }


def plane(vectors: Tensor) -> tuple[Tensor, Tensor, float]:
    """The plane that shows most of some vectors ``[O, F]``: that of their first two components.

    Up to two features it is the vectors' own.

    Returns:
        Its origin ``[F]``, two orthonormal axes ``[2, F]`` (the second is zero for a single
        feature), and the share of the vectors' variance that lies in it.
    """
    features = vectors.shape[1]
    if features <= 2:
        return torch.zeros(features), torch.eye(2, features), 1.0
    mean = vectors.mean(dim=0)
    _, scales, axes = torch.linalg.svd(vectors - mean)  # axes [F, F]
    basis = axes[:2]
    largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
    variances = scales.square()
    share = float(variances[:2].sum() / variances.sum().clamp(min=1e-12))
    return mean, basis * largest.sign(), round(share, 4)


def _layer(recorder: Recorder) -> dict[str, Any]:
    trace, slots = recorder.traces[0], recorder.core.mem_slots
    gates = {
        name: None if gate is None else rounded(gate[:, 0].mean(dim=-1))
        for name, gate in (("input_gate", trace.input_gate), ("forget_gate", trace.forget_gate))
    }
    return {"attention": rounded(trace.attention[:, -1, 0, :, :slots]), **gates}
