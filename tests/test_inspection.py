"""What is shown of a memory is what it did."""

import pytest
import torch

from relational_rnn.config import (
    LanguageModelingConfig,
    NthFarthestConfig,
    ProgramsConfig,
    StateTrackingConfig,
)
from relational_rnn.errors import UserError
from relational_rnn.generate import generate
from relational_rnn.inspection import inspect
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import (
    build_task,
    build_task_model,
    load_language_model,
    load_task_model,
    text_sizes,
)
from relational_rnn.runs import Run
from relational_rnn.tasks.language_modeling import Vocabulary, read_prompt
from relational_rnn.tasks.sampling import BatchSource
from relational_rnn.weights import save_weights

CORE = {"mem_slots": 3, "head_size": 4, "num_heads": 2, "readout_size": 8}
CONFIGS = {
    "nth-farthest": NthFarthestConfig(objects=4, features=2, **CORE),
    "blocks": NthFarthestConfig(objects=4, features=2, num_blocks=2, gate_style=None, **CORE),
    "programs": ProgramsConfig(length=2, nesting=1, **CORE),
    "predictions": ProgramsConfig(length=2, nesting=1, decoder_inputs="predictions", **CORE),
    "state-tracking": StateTrackingConfig(length=6, train_length=3, **CORE),
}


def run_of(config, tmp_path):
    torch.manual_seed(0)
    run = Run(tmp_path / "run")
    run.save_config(config)
    save_weights(build_task_model(config), run.weights_path)
    return run


@pytest.mark.parametrize("name", CONFIGS)
def test_every_step_is_shown(name, tmp_path):
    config = CONFIGS[name]
    seen = inspect(run_of(config, tmp_path))
    # of programs "12+34" and three characters of answer
    steps = {"nth-farthest": 4, "programs": 5 + 3, "state-tracking": 6}[config.task]
    assert len(seen.steps) == steps
    assert seen.attention.shape == (steps, config.num_blocks, 2, 4, 4)
    torch.testing.assert_close(
        seen.attention.sum(dim=-1), torch.ones(steps, config.num_blocks, 2, 4)
    )
    if config.gate_style is None:
        assert seen.input_gate is seen.forget_gate is None
    else:
        assert seen.input_gate.shape == seen.forget_gate.shape == (steps, 3)


def test_it_is_the_example_and_the_answer_of_the_model(tmp_path):
    config = CONFIGS["nth-farthest"]
    run = run_of(config, tmp_path)
    source = BatchSource(
        build_task(config, training=False), batch_size=1, batches=1, seed=1, stream="test"
    )
    batch = source.batch(5)
    answer = load_task_model(run)(*batch[:1], batch.input_lengths, batch.targets).argmax()
    seen = inspect(run, example=5)
    assert seen.title.endswith(f"answer {int(answer)}, correct {int(batch.targets[0])}")
    ids = batch.inputs[:, 0, 2:6].argmax(dim=-1).tolist()
    assert [int(step.split()[0]) for step in seen.steps] == ids
    assert sum("(m)" in step for step in seen.steps) == 1
    core = load_task_model(run).core.layers[0]
    trace = core.trace(batch.inputs)
    torch.testing.assert_close(seen.attention, trace.attention[:, :, 0])
    torch.testing.assert_close(seen.forget_gate, trace.forget_gate[:, 0].mean(dim=-1))


def test_reading_at_once_and_writing_step_by_step_show_the_same_reading(tmp_path):
    seen = [
        inspect(run_of(CONFIGS[name], tmp_path / name)).attention[:5]
        for name in ("programs", "predictions")
    ]
    torch.testing.assert_close(*seen)


@pytest.fixture(params=[None, "eos"], ids=["carried", "reset"])
def language(tmp_path, request):
    torch.manual_seed(3)
    config = LanguageModelingConfig(
        embedding_size=8, head_size=4, num_heads=2, seed=5, reset=request.param
    )
    run = Run(tmp_path / "language")
    run.save_config(config)
    Vocabulary(["the", "<eos>", "cat", "<unk>", "sat", "mat", "dog"]).save(run.vocabulary_path)
    model = LanguageModel(config, **text_sizes(run.vocabulary))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)  # the memory decides, not the biases
    save_weights(model, run.weights_path)
    return run


@pytest.mark.parametrize(
    "prompt", ["the cat", "sat", "dog mat\nthe", "the\n", "zebra", "cat the sat", "mat\n\nmat"]
)
def test_a_prompt_is_read_as_generate_reads_it(language, prompt):
    seen = inspect(language, prompt=prompt)
    likeliest = generate(
        load_language_model(language), language.vocabulary, prompt=prompt, top_k=1, words=1
    )
    assert seen.title == f"language: the likeliest next word is “{next(likeliest).word}”"
    assert seen.steps == read_prompt(prompt, language.vocabulary).words
    assert len(seen.attention) == len(seen.steps)


def test_unknown_words_are_labelled_as_read(language):
    seen = inspect(language, prompt="the zebra")
    assert seen.steps == ["<eos>", "the", "<unk>"]
    assert seen.note == "the prompt: words not in the vocabulary are read as <unk>: 'zebra'"


@pytest.mark.parametrize("prompt", [None, "", " \n"])
def test_without_a_prompt_the_words_are_the_models_own(language, prompt):
    seen = inspect(language, prompt=prompt)
    assert seen.note is None
    assert len(seen.steps) == 1 + 12
    assert set(seen.steps) <= set(language.vocabulary.words) - {"<unk>"}
    assert inspect(language).steps == seen.steps


@pytest.mark.parametrize(
    ("fields", "arguments", "said"),
    [
        pytest.param(
            {"model": "lstm"}, {}, "must be rmc to have memory slots, got lstm", id="lstm"
        ),
        pytest.param({}, {"layer": 2}, "layer: must be from 1 to 1", id="layer"),
        pytest.param({}, {"example": -1}, "example: must be at least 0, got -1", id="example"),
        pytest.param({}, {"prompt": "the"}, "--example", id="prompt"),
    ],
)
def test_mistakes(fields, arguments, said, tmp_path):
    run = run_of(NthFarthestConfig(objects=3, features=2, **CORE | fields), tmp_path)
    with pytest.raises(UserError, match=said):
        inspect(run, **arguments)


@pytest.mark.parametrize("language", ["eos"], indirect=True)
def test_after_a_reset_a_line_looks_as_it_does_alone(language):
    both, alone = (inspect(language, prompt=prompt) for prompt in ("mat\nthe cat", "the cat"))
    assert both.steps[2:] == alone.steps
    for name in ("attention", "input_gate", "forget_gate"):
        torch.testing.assert_close(getattr(both, name)[2:], getattr(alone, name))
