import math
from collections import Counter
from itertools import islice

import pytest
import torch
from torch import nn

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.errors import UserError
from relational_rnn.generate import generate
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.tasks.language_modeling import Vocabulary
from relational_rnn.tasks.language_modeling.tokenization import tokenize

WORDS = ["the", "<eos>", "cat", "sat", "<unk>"]


class Counting(nn.Module):
    """Its memory is how many words it has read; logits are set by hand."""

    def __init__(self, logits=(0.0, 0.0, 0.0, 0.0, 0.0)):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.read = []
        self.head = self

    def initial_state(self, batch_size):
        return (torch.zeros(batch_size, 1),)

    def features(self, tokens, state):
        self.read += tokens.flatten().tolist()
        return torch.zeros(*tokens.shape, 1), (state[0] + len(tokens),)

    def log_probabilities(self, hidden):
        return self.logits.log_softmax(-1).expand(*hidden.shape[:-1], -1)


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


def draw(model, vocabulary, **arguments):
    return [one.word for one in generate(model, vocabulary, **arguments)]


def test_it_reads_the_prompt_then_its_own_words(vocabulary):
    model = Counting()
    words = draw(model, vocabulary, words=4, prompt="the  cat dog", seed=1)
    index = vocabulary.index
    # <eos>, the prompt with its unknown word, then what was drawn, but for the last word.
    expected = [index[word] for word in ("<eos>", "the", "cat", "<unk>", *words[:-1])]
    assert model.read == expected


def test_probabilities_are_the_models_whatever_is_excluded(vocabulary):
    shares = [0.4, 0.1, 0.3, 0.0, 0.2]
    model = Counting([math.log(share) if share else -math.inf for share in shares])
    options = {"temperature": 2.0, "top_k": 3, "without_unknown": True, "seed": 1}
    for word, probability, alternatives in generate(model, vocabulary, words=20, **options):
        assert probability == pytest.approx(shares[vocabulary.index[word]])
        assert [name for name, _ in alternatives] == ["the", "cat", "<unk>", "<eos>", "sat"]
        assert [share for _, share in alternatives] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])


def test_words_come_as_they_are_drawn(vocabulary):
    model = Counting()
    list(islice(generate(model, vocabulary, words=1_000_000, seed=1), 3))
    assert len(model.read) == 3


def test_the_seed_decides(vocabulary):
    first, again, other, free = (
        draw(Counting(), vocabulary, words=50, seed=seed) for seed in (1, 1, 2, None)
    )
    assert first == again
    assert first != other
    assert len(free) == 50


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, [0.4, 0.3, 0.2, 0.1, 0.0], id="plain"),
        pytest.param({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30, 0], id="temperature"),
        pytest.param({"top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0], id="top-k"),
        pytest.param({"top_k": 99}, [0.4, 0.3, 0.2, 0.1, 0.0], id="top-k of all"),
        pytest.param({"top_p": 0.69}, [4 / 7, 3 / 7, 0, 0, 0], id="top-p"),
        pytest.param({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0, 0], id="top-p reaches into a word"),
        pytest.param({"top_p": 1e-9}, [1, 0, 0, 0, 0], id="top-p of one word at least"),
        pytest.param({"top_p": 1e-300}, [1, 0, 0, 0, 0], id="top-p below the smallest float32"),
        pytest.param({"temperature": 1e300}, [0.2] * 5, id="temperature above the largest float32"),
        pytest.param({"top_p": 1.0}, [0.4, 0.3, 0.2, 0.1, 0.0], id="top-p of all"),
        pytest.param({"top_k": 3, "top_p": 0.5}, [4 / 7, 3 / 7, 0, 0, 0], id="top-k, then top-p"),
    ],
)
def test_distribution(vocabulary, arguments, expected):
    model = Counting([*torch.tensor([0.4, 0.3, 0.2, 0.1]).log().tolist(), -1e9])
    number = 1500
    counts = Counter(draw(model, vocabulary, words=number, seed=7, **arguments))
    for word, share in zip(WORDS, expected, strict=True):
        error = 4 * (share * (1 - share) / number) ** 0.5
        assert counts[word] / number == pytest.approx(share, abs=error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"words": 0}, "words must be at least 1, got 0", id="words"),
        pytest.param(
            {"temperature": 0.0},
            "temperature must be finite and above 0, got 0.0",
            id="temperature",
        ),
        pytest.param({"top_k": 0}, "top_k must be at least 1, got 0", id="top_k"),
        pytest.param(
            {"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0", id="top_p zero"
        ),
        pytest.param(
            {"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5", id="top_p above one"
        ),
    ],
)
def test_wrong_arguments_are_named_at_once(vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(Counting(), vocabulary, **arguments)


def test_unknown_word_without_unk(vocabulary):
    with pytest.raises(UserError, match="the prompt: 1 token"):
        generate(Counting(), Vocabulary(["<eos>", "cat"]), prompt="cat dog")


def test_the_caller_keeps_his_gradients(vocabulary):
    for _ in generate(Counting(), vocabulary, words=2, seed=1):
        assert torch.is_grad_enabled()


def test_no_temperature_is_too_low(vocabulary):
    for temperature in (1e-40, 1e-300):
        model = Counting((0.0, 0.1, 0.3, 0.2, 0.0))
        assert draw(model, vocabulary, words=3, temperature=temperature) == ["cat"] * 3


def test_seeds_out_of_range(vocabulary):
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=f"seed must be an integer from 0 .*, got {seed}"):
            draw(Counting(), vocabulary, seed=seed)


def test_line_ends_of_the_prompt_are_eos(vocabulary):
    model = Counting()
    draw(model, vocabulary, words=1, prompt="the cat\r\n\nsat\n", seed=1)
    assert vocabulary.decode(model.read) == ["<eos>", *tokens("the cat\n\nsat\n")]


def tokens(text):
    return [word for part in tokenize([text]) for word in part]


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1e-300}, {"temperature": 1e300}, {"top_k": 1}, {"top_p": 1e-9}]
)
def test_without_unknown(vocabulary, options):
    model = Counting((0.0, 0.0, 0.0, 0.0, 9.0))
    words = draw(model, vocabulary, words=40, seed=1, without_unknown=True, **options)
    assert "<unk>" not in words
    assert "<unk>" in draw(model, vocabulary, words=40, seed=1)


@pytest.mark.parametrize("without_unknown", [False, True])
@pytest.mark.parametrize(
    "logits", [(math.nan, 1, 1, 1, 1), (math.inf, 1, 1, 1, 1), (-math.inf,) * 5], ids=str
)
def test_scores_that_are_not_numbers(vocabulary, logits, without_unknown):
    words = generate(Counting(logits), vocabulary, without_unknown=without_unknown)
    with pytest.raises(UserError, match=r"^the model: its scores are nan.* damaged or have diver"):
        next(words)


def test_a_word_that_is_impossible_is_not_drawn(vocabulary):
    model = Counting((-math.inf, 0.0, 0.0, 0.0, 0.0))
    for temperature in (1e-300, 1.0, 1e300):
        assert "the" not in draw(model, vocabulary, words=40, temperature=temperature, seed=1)


@pytest.mark.parametrize("core", ["rmc", "gru", "mingru"])
def test_with_reset_nothing_of_the_line_before_is_known(vocabulary, core):
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "head_size": 4, "num_heads": 2}
    config = LanguageModelingConfig(model=core, reset="eos", **sizes)
    model = LanguageModel(config, len(WORDS), vocabulary.eos).eval()
    with torch.no_grad():
        model.embedding.weight *= 30
    drawn = [
        list(generate(model, vocabulary, words=20, prompt=prompt, seed=1))
        for prompt in ("the", "cat sat\n\nsat\nthe", "sat the")
    ]
    for one, other in zip(drawn[0], drawn[1], strict=True):
        assert one.word == other.word
        assert one.probability == pytest.approx(other.probability)
    assert drawn[0][0].probability != pytest.approx(drawn[2][0].probability)
