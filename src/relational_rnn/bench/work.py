"""The work that is timed: a core alone, its floor, and a whole training step.

Everything is made beforehand: weights, inputs, targets, optimizer. Letters: T time, B batch,
I input size, O output size, V vocabulary size.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..models.cores import Stack, State
from ..models.language_model import LanguageModel
from ..ops import precision
from .plain import PlainModel
from .rows import CORES, MODELS, ROWS, Case

SEED = 1


def autocast(case: Case) -> torch.autocast:
    """What the row's dtype means: bfloat16 is autocast, float32 is nothing."""
    row = ROWS[case.row]
    return precision.autocast(row.device, low=row.dtype == "bfloat16")


def words(case: Case, *, steps: int, batch_size: int) -> Tensor:
    """Ids ``[T + 1, B]`` int64 by Zipf's law, as text has them; an adaptive softmax needs that."""
    weights = 1 / (np.arange(case.vocabulary_size) + 2.7)
    random = np.random.default_rng(SEED)
    shape = (steps + 1, batch_size)
    return torch.from_numpy(random.choice(len(weights), shape, p=weights / weights.sum()))


class Core:
    """The recurrent core on inputs that need a gradient, as an embedding's do."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(SEED)
        config, device = case.config(CORES), ROWS[case.row].device
        self.case = case
        self.core = Stack(config, config.embedding_size).to(device)
        self.state = self.core.initial_state(config.batch_size)
        shape = (config.bptt, config.batch_size)
        self.inputs = torch.randn(*shape, config.embedding_size, device=device).requires_grad_()
        self.cotangent = torch.randn(*shape, self.core.output_size, device=device)
        with autocast(case), torch.no_grad():
            self.cotangent = self.cotangent.to(self.core(self.inputs[:1], self.state)[0].dtype)

    @torch.no_grad()
    def forward(self) -> None:
        """All steps, without gradients."""
        with autocast(self.case):
            self.core(self.inputs, self.state)

    def step(self) -> None:
        """Forward and backward, from the gradient of the output to all others."""
        with autocast(self.case):
            output, _ = self.core(self.inputs, self.state)
        torch.autograd.backward(output, self.cotangent)
        self.core.zero_grad()
        self.inputs.grad = None


class Floor:
    """The core's matrix products alone, each as ``torch.mm`` in the row's dtype.

    Those with the memory once per time step, forward and back; those with the input, and all
    gradients of weights, once for all T * B rows. The RMC's input projection is folded into the
    weights that follow, so this counts one block, and no attention over slots.
    """

    def __init__(self, core: Core) -> None:
        layer = core.core.layers[0]
        weights = dict(layer.named_parameters())
        if "qkv_weight" in weights:
            recurrent = [*weights["qkv_weight"], *weights["mlp_weight"]]
            inward = weights["qkv_weight"].shape[1]
            if "gate_memory_weight" in weights:
                recurrent.append(weights["gate_memory_weight"])
                inward += len(weights["gate_input_weight"])
        else:
            recurrent = [weights["weight_hh_l0"]]
            inward = len(weights["weight_ih_l0"])
        steps, batch_size, input_size = core.inputs.shape
        slots = core.state[0].shape[1] if core.state[0].dim() == 3 else 1
        row = ROWS[core.case.row]
        kind = {"dtype": getattr(torch, row.dtype), "device": row.device}

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, **kind)

        rows = batch_size * slots
        self.steps = steps
        self.inputs, self.d_inward = (
            draw(steps * batch_size, input_size),
            draw(steps * batch_size, inward),
        )
        self.inward = draw(inward, input_size)
        self.weights = [weight.detach().to(**kind) for weight in recurrent]
        self.memories = [draw(steps * rows, weight.shape[1]) for weight in self.weights]
        self.d_outs = [draw(steps * rows, weight.shape[0]) for weight in self.weights]
        self.memory = [memories[:rows] for memories in self.memories]
        self.d_out = [d_outs[:rows] for d_outs in self.d_outs]

    @torch.no_grad()
    def step(self) -> None:
        """The products of forward and backward."""
        torch.mm(self.inputs, self.inward.t())
        for _ in range(self.steps):
            for memory, weight in zip(self.memory, self.weights, strict=True):
                torch.mm(memory, weight.t())
        for _ in range(self.steps):
            for d_out, weight in zip(self.d_out, self.weights, strict=True):
                torch.mm(d_out, weight)
        for d_outs, memories in zip(self.d_outs, self.memories, strict=True):
            torch.mm(d_outs.t(), memories)
        torch.mm(self.d_inward, self.inward)
        torch.mm(self.d_inward.t(), self.inputs)


class Training:
    """A whole training step: model with its loss, backward, clip, Adam."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(SEED)
        config, row = case.config(MODELS), ROWS[case.row]
        self.case, self.config = case, config
        kind = PlainModel if row.model == "plain" else LanguageModel
        self.model: PlainModel | LanguageModel = kind(config, case.vocabulary_size).to(row.device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, fused=True
        )
        ids = words(case, steps=config.bptt, batch_size=config.batch_size).to(row.device)
        self.tokens, self.targets = ids[:-1], ids[1:]
        self.state = self.model.initial_state(config.batch_size)

    @property
    def words_per_step(self) -> int:
        """Words that a step is trained on, B * T."""
        return self.config.batch_size * self.config.bptt

    def backward(
        self, tokens: Tensor, targets: Tensor, state: State, *, share: float = 1.0
    ) -> State:
        """Add a share of the gradients of the mean loss to those that are there.

        Args:
            tokens: ``[T, b]``.
            targets: ``[T, b]``.
            state: of these b streams.
            share: of the whole batch that this is.

        Returns:
            The state to go on with, detached.
        """
        with autocast(self.case):
            loss, state = self.model.loss(tokens, targets, state)
        state = tuple(tensor.detach() for tensor in state)
        torch.autograd.backward(loss * share)
        return state

    def update(self) -> None:
        """Clip, and the optimizer's step. The gradients stay."""
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()

    def step(self, *, length: int | None = None) -> None:
        """One step, on a window cut to `length` on request. No gradient is left behind.

        It is made in micro-batches where the configuration has their size.
        """
        parts = self.config.batch_size // (self.config.micro_batch_size or self.config.batch_size)
        pieces = zip(
            self.tokens[:length].chunk(parts, dim=1),
            self.targets[:length].chunk(parts, dim=1),
            zip(*(tensor.chunk(parts) for tensor in self.state), strict=True),
            strict=True,
        )
        states = [self.backward(*piece, share=1 / parts) for piece in pieces]
        self.state = tuple(torch.cat(tensors) for tensors in zip(*states, strict=True))
        self.update()
        self.optimizer.zero_grad()
