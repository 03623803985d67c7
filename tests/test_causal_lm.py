"""The wrapper for transformers: equal figures, sampling, beams, folders."""

import pytest
import torch

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.tasks.language_modeling import Vocabulary, open_corpus

pytest.importorskip("transformers")
from transformers import AutoModelForCausalLM, AutoTokenizer

from relational_rnn.causal_lm import (
    RelationalForCausalLM,
    save_for_transformers,
    word_tokenizer,
)

WORDS = ["the", "<eos>", "cat", "<unk>", ",", *map(str, range(20))]
CASES = [
    pytest.param({}, id="tied"),
    pytest.param({"tied": False, "num_layers": 2}, id="untied"),
    pytest.param({"head": "adaptive"}, id="adaptive"),
    pytest.param({"head": "adaptive", "adaptive_input": True}, id="adaptive-input"),
    pytest.param(
        {"head": "adaptive", "adaptive_input": True, "tied": False}, id="adaptive-input-alone"
    ),
    pytest.param({"model": "lstm"}, id="lstm"),
    pytest.param({"reset": "eos"}, id="reset"),
]


@pytest.fixture
def make(tmp_path):
    def make(**fields):
        torch.manual_seed(0)
        config = LanguageModelingConfig(
            data="/home/me/text", embedding_size=8, head_size=4, num_heads=2, **fields
        )
        own = LanguageModel(config, len(WORDS), WORDS.index("<eos>")).eval()
        with torch.no_grad():
            for words in own.embedding.parameters():
                words *= 20  # words that differ
        save_for_transformers(own, Vocabulary(WORDS), tmp_path)
        assert "/home/me" not in (tmp_path / "config.json").read_text(encoding="utf-8")
        return own, AutoModelForCausalLM.from_pretrained(tmp_path)

    return make


@pytest.mark.parametrize("fields", CASES)
def test_logits_and_loss_equal_the_models(make, fields):
    own, wrapped = make(**fields)
    ids = torch.randint(len(WORDS), (3, 6))
    ids[1, 3] = WORDS.index("<eos>")
    found = wrapped(ids, labels=ids)
    assert torch.equal(found.logits, own(ids.T)[0].transpose(0, 1))
    expected, _ = own.loss(ids.T[:-1], ids.T[1:], own.initial_state(3))
    torch.testing.assert_close(found.loss, expected)
    first = wrapped(ids[:, :4])
    torch.testing.assert_close(
        wrapped(ids[:, 4:], state=first.state).logits, found.logits[:, 4:], atol=1e-5, rtol=1e-5
    )


def test_reads_and_writes_words(make, tmp_path):
    make()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("the  cat,\n the").input_ids
    assert ids == [0, 3, 1, 0]  # "cat," is not a word of this vocabulary
    assert tokenizer.decode(ids) == "the <unk> <eos> the"


class Forgetful(RelationalForCausalLM):
    """Reads all tokens again for each new one."""

    def prepare_inputs_for_generation(self, input_ids, **_):
        return {"input_ids": input_ids}


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}])
def test_beams_keep_their_states(make, tmp_path, options):
    _, wrapped = make()
    without_state = Forgetful.from_pretrained(tmp_path)
    ids = torch.randint(len(WORDS), (8, 3))
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, **options}
    found, expected = (model.generate(ids, **options) for model in (wrapped, without_state))
    assert torch.equal(found, expected)
    assert found.shape == (8 * options.get("num_return_sequences", 1), 11)
    greedy = wrapped.generate(ids, **{**options, "num_beams": 1, "num_return_sequences": 1})
    assert not torch.equal(greedy, found[:: len(found) // 8])  # beams make a difference here


def test_samples(make):
    _, wrapped = make()
    ids = torch.randint(len(WORDS), (2, 3))
    torch.manual_seed(1)
    drawn = wrapped.generate(ids, max_new_tokens=20, do_sample=True, eos_token_id=None)
    assert drawn.shape == (2, 23)
    assert not torch.equal(drawn[0, 3:], drawn[1, 3:])


def test_refuses_padding(make):
    _, wrapped = make()
    mask = torch.tensor([[0, 1, 1]])
    with pytest.raises(ValueError, match="padding is not supported"):
        wrapped(torch.zeros(1, 3, dtype=torch.int64), attention_mask=mask)


TEXT = "The cat sat on a mat .\nThe dog ran .\n\nThe cat sat .\n"


@pytest.mark.parametrize("kind", ["words", "chars", "subwords", "blanks"])
def test_tokenizers_of_raw_texts_read_line_ends_as_the_command_does(tmp_path, kind):
    from relational_rnn.cli import main

    (tmp_path / "raw.txt").write_text(TEXT * 60, encoding="utf-8")
    options = ["--tokens", kind, "--output", str(tmp_path / "text")]
    assert main(["data", str(tmp_path / "raw.txt"), *options]) == 0
    vocabulary = open_corpus(str(tmp_path / "text"), cache_dir=tmp_path / "cache").vocabulary
    read = [word for part in vocabulary.tokenizer.tokenize([TEXT]) for word in part]
    expected = vocabulary.encode(read, where="the test").tolist()
    tokenizer = word_tokenizer(vocabulary)
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer(TEXT).input_ids == again(TEXT).input_ids == expected


def test_generates_from_what_the_tokenizer_gives(make, tmp_path):
    _, wrapped = make()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer("the cat", return_tensors="pt")
    assert wrapped.generate(**inputs, max_new_tokens=3, eos_token_id=None).shape == (1, 5)
