"""The word language model: what it computes, with every head and dropout."""

from itertools import chain

import pytest
import torch
import torch.nn.functional as F

from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel

T, B, V = 6, 3, 40
SMALL = {"embedding_size": 8, "head_size": 4, "num_heads": 3}

CASES = [
    pytest.param({}, id="tied"),
    pytest.param({"tied": False}, id="untied"),
    pytest.param({"head": "adaptive"}, id="adaptive"),
    pytest.param({"head": "adaptive", "cutoffs": [5, 20]}, id="cutoffs"),
    pytest.param({"head": "adaptive", "adaptive_input": True}, id="adaptive-input"),
    pytest.param({"mixtures": 2}, id="mixture"),
    pytest.param({"model": "lstm"}, id="lstm"),
    pytest.param({"model": "lstm-loop", "num_layers": 2, "hidden_size": 5}, id="lstm-loop"),
]


def model(**fields):
    torch.manual_seed(0)
    return LanguageModel(LanguageModelingConfig(**{**SMALL, **fields}), V)


def words(seed=1):
    ids = torch.randint(V, (T + 1, B), generator=torch.Generator().manual_seed(seed))
    return ids[:-1], ids[1:]


@pytest.mark.parametrize("fields", CASES)
def test_the_loss_is_that_of_the_probabilities(fields):
    language_model = model(**fields).eval()
    tokens, targets = words()
    state = language_model.initial_state(B)
    hidden, _ = language_model.features(tokens, state)
    log_probabilities = language_model.head.log_probabilities(hidden)
    assert log_probabilities.exp().sum(-1).detach() == pytest.approx(torch.ones(T, B).numpy())
    expected = F.nll_loss(log_probabilities.flatten(0, 1), targets.flatten(), reduction="none")
    each, _ = language_model.loss(tokens, targets, state, "none")
    total, _ = language_model.loss(tokens, targets, state, "sum")
    mean, _ = language_model.loss(tokens, targets, state)
    torch.testing.assert_close(each.flatten(), expected)
    torch.testing.assert_close(total, expected.sum())
    torch.testing.assert_close(mean, expected.mean())


@pytest.mark.parametrize("fields", CASES)
def test_called_it_gives_what_the_loss_is_made_of(fields):
    language_model = model(**fields).eval()
    tokens, targets = words()
    logits, state = language_model(tokens)
    expected, _ = language_model.loss(tokens, targets, language_model.initial_state(B))
    torch.testing.assert_close(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), expected)
    stepwise, before = [], None
    for token in tokens:
        each, before = language_model(token[None], before)
        stepwise.append(each[0])
    torch.testing.assert_close(torch.stack(stepwise), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(before, state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fields", CASES)
def test_every_parameter_learns(fields):
    language_model = model(**fields)
    tokens, targets = words()
    loss, _ = language_model.loss(tokens, targets, language_model.initial_state(B))
    loss.backward()
    for name, parameter in language_model.named_parameters():
        assert parameter.grad is not None, name


def test_state_dropout_acts_on_what_a_window_starts_with_in_training_alone():
    language_model = model(state_dropout=0.5)
    tokens, _ = words()
    _, state = language_model.eval()(tokens)
    seen = []
    forward = language_model.core.forward
    language_model.core.forward = lambda *given: seen.append(given[1]) or forward(*given)
    language_model(tokens, state)
    language_model.train()(tokens, state)
    (whole,), (dropped,) = seen
    assert torch.equal(whole, state[0])
    kept = dropped != 0
    assert 0.2 < kept.float().mean() < 0.8
    torch.testing.assert_close(dropped[kept], 2 * state[0][kept])


@pytest.mark.parametrize("fields", CASES)
def test_windows_carry_the_state(fields):
    language_model = model(**fields).eval()
    tokens, targets = words()
    state = language_model.initial_state(B)
    whole, _ = language_model.loss(tokens, targets, state, "none")
    first, state = language_model.loss(tokens[:2], targets[:2], state, "none")
    second, _ = language_model.loss(tokens[2:], targets[2:], state, "none")
    torch.testing.assert_close(torch.cat((first, second)), whole)


def test_tied_weights_are_one_parameter():
    tied, untied = model(), model(tied=False)
    assert tied.head.weight is tied.embedding.weight
    assert untied.head.weight is not untied.embedding.weight
    counts = [sum(p.numel() for p in one.parameters()) for one in (untied, tied)]
    assert counts[0] - counts[1] == V * 8


def test_the_projection_is_there_only_where_widths_differ():
    assert isinstance(model(head_size=4, num_heads=2).projection, torch.nn.Identity)
    assert model(head_size=4, num_heads=3).projection.weight.shape == (8, 12)
    assert isinstance(model(model="lstm").projection, torch.nn.Identity)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"embedding_dropout": 0.5}, id="embedding"),
        pytest.param({"output_dropout": 0.5}, id="output"),
        pytest.param({"word_dropout": 0.5}, id="word"),
        pytest.param({"weight_drop": 0.5}, id="weight"),
    ],
)
def test_dropout_acts_in_training_alone(fields):
    language_model = model(**fields)
    tokens, _ = words()
    state = language_model.initial_state(B)
    assert not torch.equal(
        language_model.features(tokens, state)[0], language_model.features(tokens, state)[0]
    )
    language_model.eval()
    torch.testing.assert_close(
        language_model.features(tokens, state)[0], model().eval().features(tokens, state)[0]
    )


@pytest.mark.parametrize("variational", [True, False])
def test_variational_dropout_keeps_its_mask_for_the_whole_window(variational):
    language_model = model(output_dropout=0.5, variational=variational)
    tokens, _ = words()
    hidden, _ = language_model.features(tokens, language_model.initial_state(B))
    dropped = hidden == 0
    assert torch.equal(dropped, dropped[:1].expand_as(dropped)) == variational


def test_regularisation_is_added_to_what_is_minimised():
    tokens, targets = words()
    plain = model()
    state = plain.initial_state(B)
    hidden, _ = plain.features(tokens, state)
    loss, objective, _ = plain.regularized_loss(tokens, targets, state)
    assert torch.equal(loss, objective)
    regularized = model(activation_regularization=2.0, temporal_activation_regularization=3.0)
    loss, objective, _ = regularized.regularized_loss(tokens, targets, state)
    slowness = (hidden[1:] - hidden[:-1]).square().mean()
    expected = loss + 2 * hidden.square().mean() + 3 * slowness
    torch.testing.assert_close(objective, expected)


def test_label_smoothing_changes_the_training_loss_alone():
    tokens, targets = words()
    smooth, plain = model(label_smoothing=0.2), model()
    state = plain.initial_state(B)
    assert smooth.loss(tokens, targets, state)[0] != plain.loss(tokens, targets, state)[0]
    smooth.eval()
    torch.testing.assert_close(
        smooth.loss(tokens, targets, state)[0], plain.loss(tokens, targets, state)[0]
    )


def test_cutoffs_beyond_the_vocabulary():
    with pytest.raises(ValueError, match="cutoffs"):
        model(head="adaptive", cutoffs=[5, V])


EOS = 7
LINES = [[3, 5, EOS], [EOS], [2, 2, 9, 30, EOS], [8, 1, EOS]]
CORES = ["rmc", "lstm", "lstm-loop", "gru", "mingru"]


def resetting(**fields):
    torch.manual_seed(0)
    config = LanguageModelingConfig(**{**SMALL, "reset": "eos", **fields})
    return LanguageModel(config, V, EOS).eval()


@pytest.mark.parametrize("core", CORES)
def test_with_reset_a_line_is_read_by_itself(core):
    language_model = resetting(model=core, num_layers=2)
    text = torch.tensor([EOS, *chain.from_iterable(LINES)])[:, None]
    whole, _ = language_model.loss(text[:-1], text[1:], language_model.initial_state(1), "none")
    alone = []
    for line in LINES:
        words = torch.tensor([EOS, *line])[:, None]
        state = language_model.initial_state(1)
        alone.append(language_model.loss(words[:-1], words[1:], state, "none")[0])
    torch.testing.assert_close(whole, torch.cat(alone))
    off = model(model=core, num_layers=2).eval()
    assert not torch.allclose(off.loss(text[:-1], text[1:], off.initial_state(1), "none")[0], whole)


@pytest.mark.parametrize("core", CORES)
def test_reset_changes_nothing_where_no_line_ends(core):
    tokens, targets = words()
    tokens[tokens == EOS] = 0
    plain, reset = model(model=core).eval(), resetting(model=core)
    assert plain.state_dict().keys() == reset.state_dict().keys()
    state = tuple(torch.rand_like(part) for part in plain.initial_state(B))
    torch.testing.assert_close(
        plain.loss(tokens, targets, state, "none"), reset.loss(tokens, targets, state, "none")
    )


@pytest.mark.parametrize("eos", [None, -1, V, True, "7", 7.0])
def test_reset_needs_the_id(eos):
    with pytest.raises(ValueError, match="eos must be an id in the vocabulary"):
        LanguageModel(LanguageModelingConfig(**SMALL, reset="eos"), V, eos)
