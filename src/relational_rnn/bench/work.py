"""The work that is timed: the core alone, its matrix products alone, a whole training step.

Weights, inputs, targets and optimizer are made beforehand. Letters: T time, B batch, I input size,
O output size, V vocabulary size.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..config import LanguageModelingConfig
from ..models.cores import Stack, State
from ..models.language_model import LanguageModel
from ..ops import precision
from .cases import CORES, MODELS, Case

SEED = 1


def autocast(case: Case) -> torch.autocast:
    """The precision of a case: autocast to bfloat16, or no change for float32."""
    variant = case.variant
    return precision.autocast(variant.device, low=variant.dtype == "bfloat16")


def words(case: Case, *, steps: int, batch_size: int) -> Tensor:
    """Word ids ``[T + 1, B]`` int64 by Zipf's law; an adaptive softmax depends on frequencies."""
    weights = 1 / (np.arange(case.vocabulary_size) + 2.7)
    random = np.random.default_rng(SEED)
    shape = (steps + 1, batch_size)
    return torch.from_numpy(random.choice(len(weights), shape, p=weights / weights.sum()))


class Core:
    """The recurrent core; its inputs need a gradient, as embeddings do."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(SEED)
        config, device = case.config(CORES), case.variant.device
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
        """All time steps, without gradients."""
        with autocast(self.case):
            self.core(self.inputs, self.state)

    def step(self) -> None:
        """Forward, and backward from the gradient of the output to all others."""
        with autocast(self.case):
            output, _ = self.core(self.inputs, self.state)
        torch.autograd.backward(output, self.cotangent)
        self.core.zero_grad()
        self.inputs.grad = None


class Floor:
    """The core's matrix products alone, each a ``torch.mm`` in the dtype of the case.

    Products with the memory run once per time step, forward and backward. Products with the input
    and all weight gradients run once for all T * B rows. The RMC's input projection is folded into
    the weights that follow it, so the floor counts one block and no attention over slots.

    Attributes:
        multiply_adds: of the forward pass of one time step.
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
        variant = core.case.variant
        kind = {"dtype": getattr(torch, variant.dtype), "device": variant.device}

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, **kind)

        rows = batch_size * slots
        self.steps = steps
        self.multiply_adds = batch_size * inward * input_size
        self.multiply_adds += rows * sum(weight.numel() for weight in recurrent)
        self.inputs = draw(steps * batch_size, input_size)
        self.d_inward = draw(steps * batch_size, inward)
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


class BaselineModel(nn.Module):
    """The LSTM of PyTorch's example ``word_language_model``, with tied weights.

    ``nn.Embedding``, ``nn.LSTM``, ``nn.Linear`` and ``nn.CrossEntropyLoss``: all logits
    ``[T * B, V]`` exist at once. It has the part of `models.language_model.LanguageModel`'s
    interface that the benchmarks use.

    Args:
        config: gives the width, used for both embedding and LSTM, and the dropout.
        vocabulary_size: number V of words.
    """

    def __init__(self, config: LanguageModelingConfig, vocabulary_size: int) -> None:
        super().__init__()
        width = config.embedding_size
        self.drop = nn.Dropout(config.output_dropout)
        self.encoder = nn.Embedding(vocabulary_size, width)
        self.rnn = nn.LSTM(width, width)
        self.decoder = nn.Linear(width, vocabulary_size)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.criterion = nn.CrossEntropyLoss()

    def initial_state(self, batch_size: int) -> State:
        """Zeros, each ``[1, B, H]``."""
        zeros = self.encoder.weight.new_zeros(1, batch_size, self.rnn.hidden_size)
        return zeros, zeros

    def loss(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Mean loss in nats of ``targets`` ``[T, B]``, and the next state."""
        embedded = self.drop(self.encoder(tokens))
        output, state = self.rnn(embedded, state)
        decoded = self.decoder(self.drop(output))  # [T, B, V]
        loss: Tensor = self.criterion(decoded.flatten(0, 1), targets.flatten())
        return loss, state


class Training:
    """A whole training step: model and loss, backward, gradient clipping, Adam."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(SEED)
        config, variant = case.config(MODELS), case.variant
        self.case, self.config = case, config
        kind = BaselineModel if variant.model == "baseline" else LanguageModel
        self.model: BaselineModel | LanguageModel = kind(config, case.vocabulary_size)
        self.model.to(variant.device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, fused=True
        )
        ids = words(case, steps=config.bptt, batch_size=config.batch_size).to(variant.device)
        self.tokens, self.targets = ids[:-1], ids[1:]
        self.state = self.model.initial_state(config.batch_size)

    def backward(
        self, tokens: Tensor, targets: Tensor, state: State, *, share: float = 1.0
    ) -> State:
        """Accumulate gradients of the mean loss.

        Args:
            tokens: ``[T, b]``, b of the B streams.
            targets: ``[T, b]``.
            state: of these streams.
            share: b / B, the weight of their loss.

        Returns:
            The next state, detached.
        """
        with autocast(self.case):
            loss, state = self.model.loss(tokens, targets, state)
        state = tuple(tensor.detach() for tensor in state)
        torch.autograd.backward(loss * share)
        return state

    def update(self) -> None:
        """Clip the gradients and step the optimizer; the gradients stay."""
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()

    def step(self, *, length: int | None = None) -> None:
        """One training step, in the configuration's micro-batches. Gradients are freed.

        Args:
            length: time steps of the window to use, all by default.
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
