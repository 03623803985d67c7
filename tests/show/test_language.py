"""A word on the page is what the model expected, and what its memory did."""

import numpy as np
import pytest
import torch

from relational_rnn.errors import UserError
from relational_rnn.evaluate.perplexity import token_losses
from relational_rnn.inspection import inspect
from relational_rnn.registry import load_language_model
from relational_rnn.show.language import Reader, read_on

from .conftest import WORDS, save_language

TEXT = [1, 0, 2, 4, 5, 0, 6]  # <eos> the cat sat on the mat
ROUNDED = {"rtol": 0, "atol": 1e-4}  # what is sent has four decimals


def close(got, expected):
    torch.testing.assert_close(torch.tensor(got), torch.as_tensor(expected), **ROUNDED)


@pytest.fixture
def reader():
    return Reader(save_language("rmc", mem_slots=2))


def test_losses_are_those_of_evaluation(reader):
    words = list(read_on(reader, TEXT))
    assert [word["id"] for word in words] == TEXT
    assert words[0]["probability"] is None
    losses = token_losses(reader.model, np.array(TEXT[1:]), start=TEXT[0])
    close([word["loss"] for word in words[1:]], losses)
    probabilities = torch.tensor([word["probability"] for word in words[1:]])
    torch.testing.assert_close(-probabilities.log(), losses, rtol=1e-4, atol=1e-4)


def test_alternatives_are_the_likeliest_words_and_the_rank_counts_them(reader):
    for word in list(read_on(reader, TEXT))[1:]:
        shares = [share for _, _, share in word["alternatives"]]
        assert len(shares) == 10
        assert shares == sorted(shares, reverse=True)
        ids = [id for id, _, _ in word["alternatives"]]
        if word["rank"] <= 10:
            assert ids[word["rank"] - 1] == word["id"]
            assert shares[word["rank"] - 1] == pytest.approx(word["probability"])
        else:
            assert word["id"] not in ids
        named = {id: text for id, text, _ in word["alternatives"]}
        assert all(text == ("↵" if id == 1 else WORDS[id]) for id, text in named.items())


def test_attention_and_gates_are_those_of_inspection(reader):
    words = list(read_on(reader, TEXT))
    seen = inspect(reader.run, prompt="the cat sat on the mat")
    to_input = seen.attention[:, -1, :, :2, 2:].sum(dim=-1).mean(dim=-1)  # [T, H]
    close([word["layers"][0]["to_input"] for word in words], to_input)
    close([word["layers"][0]["input_gate"] for word in words], seen.input_gate)
    close([word["layers"][0]["forget_gate"] for word in words], seen.forget_gate)


def test_a_memory_that_keeps_everything_does_not_move():
    run = save_language("rmc", forget_bias=80.0, input_bias=-80.0)
    moved = [word["layers"][0]["moved"] for word in read_on(Reader(run), TEXT)]
    assert moved == [0.0] * len(TEXT)


def test_how_far_the_memory_moved_is_relative_to_its_size(reader):
    model = load_language_model(reader.run)
    before = model.initial_state(1)[0]
    after = model.features(torch.tensor([[1]]), (before,))[1][0]
    word = next(read_on(reader, [1]))
    close(word["layers"][0]["moved"], ((after - before).norm() / after.norm()).detach())


def test_words_that_are_known_already_are_read_but_not_sent(reader):
    whole = list(read_on(reader, TEXT))
    rest = list(read_on(reader, TEXT, known=4))
    assert [word["id"] for word in rest] == TEXT[4:]
    for one, other in zip(rest, whole[4:], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-4)
        close(one["layers"][0]["forget_gate"], other["layers"][0]["forget_gate"])


def test_drawn_words_follow_the_text_and_are_never_unknown(reader):
    words = list(read_on(reader, TEXT, words=60, temperature=3.0))
    assert [word["drawn"] for word in words] == [False] * len(TEXT) + [True] * 60
    assert WORDS.index("<unk>") not in {word["id"] for word in words[len(TEXT) :]}


def test_a_cold_model_takes_the_likeliest_word(reader):
    for word in list(read_on(reader, [1], words=8, temperature=1e-9))[1:]:
        likeliest = [id for id, _, _ in word["alternatives"] if WORDS[id] != "<unk>"]
        assert word["id"] == likeliest[0]


def test_another_model_reads_the_same_words(reader):
    lstm = Reader(save_language("lstm", model="lstm", hidden_size=8))
    words = list(read_on(reader, TEXT, words=3, other=lstm))
    ids = [word["id"] for word in words]
    losses = token_losses(lstm.model, np.array(ids[1:]), start=ids[0])
    assert words[0]["other"] is None
    close([word["other"]["loss"] for word in words[1:]], losses)


@pytest.mark.parametrize("model", ["lstm", "gru", "mingru"])
def test_other_cores_have_no_attention_to_show(model):
    reader = Reader(save_language("core", model=model, hidden_size=8))
    words = list(read_on(reader, TEXT))
    assert [set(word["layers"][0]) for word in words] == [{"moved"}] * len(TEXT)
    assert words[0]["layers"][0]["moved"] == 1  # from zero
    assert words[-1]["layers"][0]["moved"] > 0


def test_every_layer_is_shown_and_cores_without_gates():
    words = list(read_on(Reader(save_language("deep", num_layers=2, gate_style=None)), TEXT))
    assert [len(word["layers"]) for word in words] == [2] * len(TEXT)
    assert words[3]["layers"][0]["to_input"] != words[3]["layers"][1]["to_input"]
    assert words[3]["layers"][1]["input_gate"] is None


@pytest.mark.parametrize("tokens", [[], [12], [-1], [True], ["the"], [1.0], [1, None]])
def test_tokens_of_a_user_are_checked(reader, tokens):
    with pytest.raises(UserError, match="tokens: must be integers from 0 to 11"):
        reader.check(tokens)
