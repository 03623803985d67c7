"""Small models with the surface of ``LanguageModel``, and texts for them."""

import pytest
import torch
from torch import nn

VOCABULARY = 11


class Head(nn.Linear):
    """A full softmax."""

    def log_probabilities(self, hidden):
        return self(hidden).log_softmax(-1)

    def loss(self, hidden, targets, *, reduction="mean"):
        losses = -self.log_probabilities(hidden).gather(-1, targets[..., None]).squeeze(-1)
        return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]


class Forgetful(nn.Module):
    """An LSTM, whose memory of far words fades."""

    def __init__(self, width=8):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.core = nn.LSTM(width, width)
        self.dropout = nn.Dropout(0.5)
        self.head = Head(width, VOCABULARY)

    def initial_state(self, batch_size):
        return tuple(torch.zeros(batch_size, self.core.hidden_size) for _ in range(2))

    def features(self, tokens, state):
        self.calls = getattr(self, "calls", 0) + len(tokens)
        output, state = self.core(self.embedding(tokens), tuple(part[None] for part in state))
        return self.dropout(output), tuple(part[0] for part in state)

    def loss(self, tokens, targets, state, reduction="mean"):
        hidden, state = self.features(tokens, state)
        return self.head.loss(hidden, targets, reduction=reduction), state


class Unforgetting(Forgetful):
    """Turns its memory and adds the word: what was read first is never lost."""

    def __init__(self, width=8):
        super().__init__(width)
        turn = torch.linalg.qr(torch.randn(width, width))[0]
        self.register_buffer("turn", turn)

    def initial_state(self, batch_size):
        return (torch.ones(batch_size, self.core.hidden_size),)

    def features(self, tokens, state):
        self.calls = getattr(self, "calls", 0) + len(tokens)
        memory = state[0]
        output = []
        for word in self.embedding(tokens):
            memory = memory @ self.turn + 0.1 * word
            output.append(memory)
        return self.dropout(torch.stack(output)), (memory,)


class Unigram(nn.Module):
    """Two words, whose probabilities depend on nothing: one parameter, the bias."""

    def __init__(self):
        super().__init__()
        self.head = Head(1, 2)
        del self.head.weight
        self.head.register_buffer("weight", torch.zeros(2, 1))

    def says(self, *probabilities):
        self.head.bias.data[:] = torch.tensor(probabilities).log()

    def initial_state(self, batch_size):
        return (torch.zeros(batch_size, 1),)

    def features(self, tokens, state):
        return torch.zeros(*tokens.shape, 1), state

    loss = Forgetful.loss


@pytest.fixture
def unigram():
    return Unigram()


@pytest.fixture(params=[Forgetful, Unforgetting], ids=["forgetful", "unforgetting"])
def model(request):
    torch.manual_seed(3)
    return request.param().train()


@pytest.fixture
def forgetful():
    torch.manual_seed(3)
    return Forgetful()


@pytest.fixture
def tokens():
    return torch.randint(VOCABULARY, (251,), generator=torch.Generator().manual_seed(5)).numpy()
