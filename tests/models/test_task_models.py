"""Classifier and encoder-decoder: shapes, what may and may not change an answer."""

import pytest
import torch

from relational_rnn.config import NthFarthestConfig, ProgramsConfig, TaggingConfig
from relational_rnn.models import EncoderDecoder, SequenceClassifier, SequenceTagger
from relational_rnn.models.encoder_decoder import end_aligned
from relational_rnn.models.readout import ReadOut
from relational_rnn.tasks.task import NOT_SCORED

CORES = {
    "rmc": {"model": "rmc", "mem_slots": 2, "head_size": 4, "num_heads": 2},
    "lstm": {"model": "lstm", "hidden_size": 8},
    "gru": {"model": "gru", "hidden_size": 8},
    "mingru": {"model": "mingru", "hidden_size": 8},
    "transformer": {"model": "transformer", "hidden_size": 8, "num_heads": 2},
    "lstm-paper": {"model": "lstm", "hidden_size": 8, "num_layers": 2, "skip": True},
}
V, T, OUT, B = 7, 6, 4, 3


def encoder_decoder(core="rmc", **fields):
    torch.manual_seed(0)
    return EncoderDecoder(ProgramsConfig(**CORES[core], readout_size=8, **fields), characters=V)


@pytest.fixture
def strings():
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([6, 2, 4])
    ids = torch.randint(1, V, (T, B), generator=generator)
    ids = ids.where(torch.arange(T)[:, None] < lengths, 0)
    return ids, lengths, torch.randint(1, V, (OUT, B), generator=generator)


@pytest.mark.parametrize("core", CORES)
def test_classifier_answers_once_for_each_example(core):
    torch.manual_seed(0)
    config = NthFarthestConfig(**CORES[core], readout_size=8)
    model = SequenceClassifier(config, input_size=5, classes=3)
    inputs = torch.randn(T, B, 5)
    logits = model(inputs, torch.full((B,), T), torch.zeros(B))
    assert logits.shape == (B, 3)
    inputs[0, 1] += 1  # the first step of one example
    changed = (model(inputs, torch.full((B,), T), torch.zeros(B)) != logits).any(dim=1)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("core", CORES)
def test_tagger_answers_at_every_step_from_what_came_before(core):
    torch.manual_seed(0)
    config = TaggingConfig(task="", **CORES[core], readout_size=8, embedding_size=6)
    model = SequenceTagger(config, symbols=V, classes=3)
    ids = torch.randint(V, (T, B), generator=torch.Generator().manual_seed(1))
    logits = model(ids, torch.full((B,), T), torch.zeros(T, B))
    assert logits.shape == (T, B, 3)
    ids[2, 1] = (ids[2, 1] + 1) % V
    changed = (model(ids, torch.full((B,), T), torch.zeros(T, B)) != logits).any(dim=-1)
    assert changed.any(dim=0).tolist() == [False, True, False]
    assert changed[:, 1].tolist() == [False, False, True, True, True, True]


def test_tagger_answers_at_marked_steps_with_symbols():
    torch.manual_seed(0)
    config = TaggingConfig(task="", **CORES["lstm"], readout_size=8, embedding_size=6)
    model = SequenceTagger(config, symbols=V)
    ids = torch.randint(V, (T, B), generator=torch.Generator().manual_seed(1))
    asked = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]])
    marked = torch.stack((ids, asked), dim=-1)
    logits = model(marked, torch.full((B,), T), torch.zeros(2, B))
    everywhere = model(ids, torch.full((B,), T), torch.zeros(T, B))
    assert logits.shape == (2, B, V)
    steps = [[1, 0, 2], [4, 3, 3]]
    expected = torch.stack([everywhere[row, torch.arange(B)] for row in steps])
    torch.testing.assert_close(logits, expected)
    assert model.padding == NOT_SCORED


def test_padding_goes_to_the_front():
    ids = torch.tensor([[1, 4, 6], [2, 5, 0], [3, 0, 0]])
    moved = end_aligned(ids, torch.tensor([3, 2, 1]))
    assert moved.tolist() == [[1, 0, 0], [2, 4, 0], [3, 5, 6]]


@pytest.mark.parametrize("inputs", ["zeros", "predictions", "targets"])
@pytest.mark.parametrize("core", CORES)
def test_encoder_decoder_writes_the_asked_number_of_characters(core, inputs, strings):
    model = encoder_decoder(core, decoder_inputs=inputs)
    assert model(*strings).shape == (OUT, B, V)
    assert model.eval()(*strings).shape == (OUT, B, V)


@pytest.mark.parametrize("inputs", ["zeros", "predictions", "targets"])
def test_answers_never_depend_on_the_targets_in_evaluation(inputs, strings):
    model = encoder_decoder(decoder_inputs=inputs).eval()
    ids, lengths, targets = strings
    assert torch.equal(model(ids, lengths, targets), model(ids, lengths, targets.flip(0)))


def test_in_training_only_teacher_forcing_sees_the_targets_and_only_those_before(strings):
    ids, lengths, targets = strings
    other = targets.clone()
    other[1] = targets[1] % (V - 1) + 1
    changed = {}
    for inputs in ("zeros", "predictions", "targets"):
        model = encoder_decoder(decoder_inputs=inputs)
        before, after = model(ids, lengths, targets), model(ids, lengths, other)
        changed[inputs] = (before != after).any(dim=-1).any(dim=-1).tolist()
    assert changed["zeros"] == changed["predictions"] == [False] * OUT
    assert changed["targets"] == [False, False, True, True]


def test_own_predictions_are_fed_back(strings):
    ids, lengths, targets = strings
    free = encoder_decoder(decoder_inputs="predictions").eval()
    written = free(ids, lengths, targets).argmax(dim=-1)
    forced = encoder_decoder(decoder_inputs="targets")  # of the same weights
    torch.testing.assert_close(forced(ids, lengths, written), free(ids, lengths, targets))


def test_training_on_own_predictions_is_training_on_those_characters(strings):
    ids, lengths, targets = strings
    fields = {"readout_norm": True, "weight_drop": 0.5, "layer_dropout": 0.5}
    free = encoder_decoder("lstm-paper", decoder_inputs="predictions", **fields)
    forced = encoder_decoder("lstm-paper", decoder_inputs="targets", **fields)  # the same weights
    written = free.eval()(ids, lengths, targets).argmax(dim=-1)
    torch.manual_seed(1)
    expected = forced(ids, lengths, written)
    torch.manual_seed(1)  # one mask a string, one set of batch statistics
    torch.testing.assert_close(free.train()(ids, lengths, targets), expected)
    for one, other in zip(free.buffers(), forced.buffers(), strict=True):
        assert torch.equal(one, other)


def test_what_is_written_first_is_the_same_however_much_follows(strings):
    model = encoder_decoder().eval()
    ids, lengths, targets = strings
    torch.testing.assert_close(
        model(ids, lengths, targets)[:2], model(ids, lengths, targets[:2]), atol=1e-6, rtol=1e-5
    )


def test_readout_keeps_the_size_of_what_passes():
    torch.manual_seed(0)
    readout = ReadOut(64, 8, layers=4, width=256, normalized=False)
    hidden = torch.randn(500, 64)
    before = readout.layers[:-1](hidden).square().mean()
    assert 0.3 < before / hidden.square().mean() < 3


def test_normalized_readout_sees_past_what_is_common():
    torch.manual_seed(0)
    readout = ReadOut(8, 3, layers=1, width=16, normalized=True)
    hidden = torch.randn(4, 50, 8)
    torch.testing.assert_close(readout(hidden), readout(100 + 5 * hidden), atol=1e-3, rtol=1e-3)
    assert readout(hidden).shape == (4, 50, 3)
