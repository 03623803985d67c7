"""Nth farthest: which vector is n-th farthest from vector m? (Santoro et al. 2018, 4.1, A.1)."""

from functools import cache, partial
from math import log
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from .argument_checks import InvalidArgumentError, at_least, between, one_of
from .sampling import Batch
from .task import Description, Kind

ORDERS = ("farthest", "nearest")
CURRICULA = ("maximum", "mix", "grow")

MOST_OBJECTS, MOST_FEATURES = 10_000, 1_000_000

_FIRST_OBJECTS = 3  # "grow" starts with these: the fewest that require a comparison
_FIRST_FEATURES = 4  # "grow" starts with these
_FEATURE_STEP = 2  # features that "grow" adds at a time
_SOLVED = 0.75  # share of the loss of "answer m, else guess"; below it, vectors are compared


class NthFarthest:
    """Batches of vector sequences, one vector per time step, with the question at every step.

    The input of a step is ``[vector | one-hot id | one-hot m | one-hot n]``. Vectors are uniform
    in (-1, 1), ids are a random permutation, m is the id of the reference vector. The answer is
    the id of the object ranked n-th by Euclidean distance from m, counting from 0:

    - ``"farthest"``, as the paper says: rank 0 is the farthest object, the last rank is m itself.
    - ``"nearest"``, as Sonnet's code does: rank 0 is m itself, rank 1 the nearest other object.

    The two differ only in how n is numbered.

    Args:
        objects: number of objects O, 2 to 10,000.
        features: vector size F, 1 to 1,000,000.
        order: ``"farthest"`` or ``"nearest"``.
        curriculum: ``"maximum"``: every sample shows ``present`` objects. ``"mix"``: each sample
            shows its own number of objects, uniform from 2 to ``present``, preceded by zeros.
            ``"grow"``: as ``"maximum"``, but starts with 3 objects of 4 features and ids below 3;
            :meth:`update` adds features, then objects.

    Attributes:
        present: objects shown per sample, 2 to ``objects``. A sample then uses any ``present`` of
            the O ids (``"grow"``: the ids below ``present``), and n is below ``present``.
        varied: random features per vector, 1 to F; the remaining features are zero.
        input_size: F + 3 * O, independent of ``present``.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        objects: int = 8,
        features: int = 16,
        order: str = "farthest",
        *,
        curriculum: str = "maximum",
    ) -> None:
        self.objects = between("objects", objects, 2, MOST_OBJECTS)
        self.features = between("features", features, 1, MOST_FEATURES)
        self.order = one_of("order", order, ORDERS)
        self.curriculum = one_of("curriculum", curriculum, CURRICULA)
        self.input_size = features + 3 * objects
        grows = curriculum == "grow"
        self._present = min(_FIRST_OBJECTS, objects) if grows else objects
        self.varied = min(_FIRST_FEATURES, features) if grows else features

    @property
    def present(self) -> int:
        """Objects shown per sample."""
        return self._present

    @present.setter
    def present(self, value: int) -> None:
        if at_least("present", value, 2) > self.objects:
            raise InvalidArgumentError(
                f"present must be at most {self.objects}, the objects of the task, got {value}"
            )
        self._present = value

    def batch(
        self, batch_size: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Return ``inputs [T, B, F + 3 * O]`` float32 and ``targets [B]`` int64, T = ``present``.

        ``generator`` and ``device`` must be of the same device type.
        """
        B = at_least("batch_size", batch_size, 1)
        return self._batch(torch.full((B,), self.present, device=device), self.present, generator)

    def _batch(
        self, shown: Tensor, steps: int, generator: torch.Generator, *, mixed: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return a batch whose samples show ``shown`` [B] objects in the last of ``steps`` steps.

        If not ``mixed``, ``shown`` must equal ``steps`` for every sample.
        """
        B, O, device = len(shown), self.objects, shown.device  # noqa: E741
        vectors = torch.rand(steps, B, self.features, generator=generator, device=device) * 2 - 1
        vectors[..., self.varied :] = 0
        known = self.present if self.curriculum == "grow" else O
        shuffled = torch.rand(known, B, generator=generator, device=device).argsort(dim=0)
        ids = shuffled[:steps]  # [T, B]
        draws = torch.rand(2, B, generator=generator, device=device) * shown
        place, n = draws.long().minimum(shown - 1)  # [B] each
        first = steps - shown
        m = ids.gather(0, (first + place)[None])[0]  # [B]
        inputs = encode(vectors, ids, m, n, O)
        if not mixed:
            return inputs, label(vectors.transpose(0, 1), ids.T, m, n, self.order)
        present = torch.arange(steps, device=device)[:, None] >= first  # [T, B]
        targets = label(vectors.transpose(0, 1), ids.T, m, n, self.order, present=present.T)
        return inputs * present[..., None], targets

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str = "cpu"
    ) -> Batch:
        """Return the batch determined by a seed, generated on the device."""
        number = int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1))
        generator = torch.Generator(device).manual_seed(number)
        if self.curriculum != "mix":
            inputs, targets = self.batch(batch_size, generator, device)
        else:
            sizes = np.random.default_rng(seed).integers(2, self.present, batch_size, endpoint=True)
            shown = torch.from_numpy(sizes).to(device)
            inputs, targets = self._batch(shown, self.present, generator, mixed=True)
        return Batch(inputs, targets, torch.full_like(targets, self.present))

    def update(self, loss: float) -> bool:
        """Record a training loss; return whether the difficulty was raised."""
        others = self.present - 1
        guessed = others / self.present * log(others)
        if self.curriculum != "grow" or loss >= _SOLVED * guessed:
            return False
        if self.varied < self.features:
            self.varied = min(self.varied + _FEATURE_STEP, self.features)
        elif self.present < self.objects:
            self.present += 1
        else:
            return False
        return True

    @property
    def model_sizes(self) -> dict[str, int]:
        """Width of a step's input, and the number of answers."""
        return {"input_size": self.input_size, "classes": self.objects}

    @property
    def follows_loss(self) -> bool:
        """Whether :meth:`update` changes anything."""
        return self.curriculum == "grow"

    def kinds(self) -> list[Kind]:
        """Return one kind for each place n, then for each step that shows m; they share a batch."""
        places = [Kind({"n": n}, self, partial(self._asks_for, n)) for n in range(self.objects)]
        steps = [Kind({"m_step": t}, self, partial(self._shows_m, t)) for t in range(self.objects)]
        return places + steps

    def _asks_for(self, n: int, batch: Batch) -> Tensor:
        return batch.inputs[0, :, -self.objects :].argmax(dim=-1) == n

    def _shows_m(self, step: int, batch: Batch) -> Tensor:
        _, ids, m, _ = decode(batch.inputs[step], self.objects)
        return (ids * m).sum(dim=-1) > 0

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe an example: the ids in order, and what is asked of them."""
        ids, m, n = (
            part.argmax(dim=-1)[:, 0]
            for part in torch.split(batch.inputs[..., self.features :], self.objects, dim=-1)
        )
        title = (
            f"rank {int(n[0])} by distance from object {int(m[0])}, {self.order} first: "
            f"answer {int(answer[0])}, correct {int(batch.targets[0])}"
        )
        return Description(title, [f"{i}{' (m)' if i == m[0] else ''}" for i in ids.tolist()])

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers of present objects and of varied features."""
        return {"present": self.present, "varied": self.varied}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`."""
        self.present, self.varied = state["present"], state["varied"]


def encode(vectors: Tensor, ids: Tensor, m: Tensor, n: Tensor, objects: int) -> Tensor:
    """Return the inputs ``[T, B, F + 3 * O]`` of a question; see :class:`NthFarthest`.

    Args:
        vectors: [T, B, F] in order of presentation.
        ids: [T, B] int64, id of each vector.
        m: [B] int64, id of the reference vector.
        n: [B] int64, requested rank, from 0.
        objects: number of objects O.
    """
    one_hot = torch.eye(objects, device=vectors.device)
    question = embedding(torch.stack([m, n], dim=-1), one_hot).flatten(1)  # [B, 2 * O]
    asked = question.expand(len(vectors), -1, -1)
    return torch.cat([vectors, embedding(ids, one_hot), asked], dim=-1)


def decode(inputs: Tensor, objects: int) -> tuple[Tensor, ...]:
    """Split inputs [..., F + 3 * O]: vectors [..., F], and one-hot ids, m and n [..., O]."""
    return torch.split(inputs, [inputs.shape[-1] - 3 * objects, *[objects] * 3], dim=-1)


def label(
    vectors: Tensor,
    ids: Tensor,
    m: Tensor,
    n: Tensor,
    order: str,
    *,
    present: Tensor | None = None,
) -> Tensor:
    """Return the answers [B] int64; objects at equal distances keep their order of presentation.

    Args:
        vectors: [B, O, F] in order of presentation.
        ids: [B, O] int64, id of each vector.
        m: [B] int64, id of the reference vector, one of ``ids``.
        n: [B] int64, requested rank, from 0.
        order: which comes first, ``"farthest"`` or ``"nearest"``.
        present: [B, O] bool, objects to rank; default: all.
    """
    one_of("order", order, ORDERS)
    reference = (vectors * (ids == m[:, None])[..., None]).sum(dim=1, keepdim=True)
    distances = (vectors - reference).square().sum(dim=-1)  # [B, O]
    if present is not None:
        last = -torch.inf if order == "farthest" else torch.inf
        distances = distances.where(present, last)
    ranking = distances.argsort(dim=1, descending=order == "farthest", stable=True)
    return ids.gather(1, ranking.gather(1, n[:, None]))[:, 0]


class Knowledge(NamedTuple):
    """What a reader needs to know after each step, the sufficient statistic of the question.

    Attributes:
        distances: [B, O] squared distance of each object from m, indexed by id.
        known: [T, B, O] bool, distances known by then: m and the object have been seen; m's own
            distance, 0, is left out.
        vectors: [B, O, F] the vector of each object, indexed by id.
        needed: [T, B, O] bool, vectors seen by then and still needed: all of them until m is seen,
            m alone afterwards.
    """

    distances: Tensor
    known: Tensor
    vectors: Tensor
    needed: Tensor


def knowledge(inputs: Tensor, objects: int) -> Knowledge:
    """Return what is known of a batch, from its inputs [T, B, F + 3 * O]."""
    vectors, ids, m, _ = decode(inputs, objects)
    by_id = torch.einsum("tbo,tbf->bof", ids, vectors)
    is_m = m.amax(dim=0)[:, None]  # [B, 1, O]; "mix" has zeros before the first object
    reference = is_m @ by_id  # [B, 1, F]
    seen = ids.cumsum(dim=0) > 0  # [T, B, O]
    is_m = is_m[:, 0] > 0  # [B, O]
    m_seen = (seen & is_m).any(dim=-1, keepdim=True)  # [T, B, 1]
    return Knowledge(
        (by_id - reference).square().sum(dim=-1),
        seen & m_seen & ~is_m,
        by_id,
        seen & (is_m | ~m_seen),
    )


class Plateaus(NamedTuple):
    """Accuracies reachable without comparing vectors, where training is known to stall."""

    chance: float
    answer_m: float
    norm_only: float


@cache
def plateaus(objects: int, features: int) -> Plateaus:
    """Return the accuracies of strategies that compare no two vectors.

    - ``chance``: guess any of the O ids.
    - ``answer_m``: answer m where n asks for m itself, otherwise guess among the others:
      ``1 / O + (1 - 1 / O) / (O - 1)``, which is ``2 / O``.
    - ``norm_only``: as ``answer_m``, but rank the others by their norm, since a long vector is far
      from most vectors. Simulated with a fixed seed; the standard error is at most about 0.001.

    Raises:
        InvalidArgumentError: ``objects`` or ``features`` is out of range.
    """
    O = between("objects", objects, 2, MOST_OBJECTS)  # noqa: E741
    F = between("features", features, 1, MOST_FEATURES)
    generator = torch.Generator().manual_seed(0)
    hits = torch.zeros(())
    samples, rounds = min(10_000, 1 + 10_000_000 // (O * F)), 10
    for _ in range(rounds):
        vectors = torch.rand(samples, O, F, generator=generator) * 2 - 1  # object 0 is m
        distances = (vectors[:, 1:] - vectors[:, :1]).square().sum(dim=-1)
        norms = vectors[:, 1:].square().sum(dim=-1)
        hits += (distances.argsort(dim=1) == norms.argsort(dim=1)).float().mean()
    ranked = float(hits) / rounds
    return Plateaus(1 / O, 1 / O + (1 - 1 / O) / (O - 1), 1 / O + (1 - 1 / O) * ranked)
