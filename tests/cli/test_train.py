"""The help of ``rrnn train``, and what its own options do."""

import re
from contextlib import suppress

import pytest

from relational_rnn.cli import train
from relational_rnn.config import TASKS, NthFarthestConfig, ProgramsConfig
from relational_rnn.config.fields import GROUPS, options
from relational_rnn.equal_size import count_weights
from relational_rnn.errors import UserError
from relational_rnn.registry import text_sizes
from relational_rnn.runs import Run


def flags(text):
    return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))


def test_the_short_help_is_short_and_shows_where_the_rest_is(rrnn):
    text = rrnn("train", "--help").out
    lines = text.splitlines()
    assert len(lines) <= 50
    assert lines[0].startswith("usage: ")
    assert lines[2] == ""
    assert "  -h, --help " in text
    flat = " ".join(text.split()).replace("lstm- loop", "lstm-loop")
    assert "[rmc | lstm | lstm-loop | gru | mingru | transformer; default rmc]" in flat
    assert "[auto | cpu | cuda | mps; default auto]" in flat
    assert {"--run", "--resume", "--logger", "--data", "--max-steps", "--threads"} <= flags(text)
    for task in TASKS:
        assert f"rrnn train {task} --help" in text
    assert "rrnn list" in text


@pytest.mark.parametrize("task", TASKS)
def test_the_help_of_a_task_shows_its_fields_in_groups(rrnn, task):
    text = rrnn("train", task, "--help").out
    fields = [field for field in options(TASKS[task]).values() if field.group is not None]
    own = {"--run", "--resume", "--match-weights", "--logger", "--json"}
    assert flags(text) == own | {field.flag for field in fields}
    titles = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert titles == [*titles[:1], *GROUPS]
    flat = " ".join(text.split())
    assert "rmc: number of memory slots [an integer, at least 1; default 1]" in flat
    assert "[one of rmc, lstm, lstm-loop, gru, mingru, transformer; default rmc]" in flat
    assert "rmc, lstm, lstm-loop, gru: DropConnect on the recurrent weights" in flat


@pytest.mark.parametrize(
    "words",
    [
        ["cpu-nth-farthest"],
        ["--epochs", "3", "cpu-nth-farthest"],
        ["--run", "programs", "nth-farthest"],
        ["--json", "nth-farthest"],
        ["mine.yaml"],
        ["--resume", "far"],
        ["--resume=far"],
    ],
    ids=" ".join,
)
def test_the_task_is_found_on_the_command_line(rrnn, tmp_path, words):
    (tmp_path / "mine.yaml").write_text("task: nth-farthest\n", encoding="utf-8")
    Run("runs/far").save_config(NthFarthestConfig())
    assert "--objects" in rrnn("train", *words, "--help").out


@pytest.mark.parametrize(
    "words", [["--epochs", "3"], ["--betas", "0.9", "0.99"], ["--tied"], ["-h"]]
)
def test_help_without_a_task_is_the_short_one(rrnn, words):
    assert rrnn("train", *words, "--help").out == rrnn("train", "--help").out


@pytest.mark.parametrize("words", [["none.yaml"], ["broken.yaml"], ["--resume", "none"], ["x"]])
def test_help_on_what_does_not_exist_is_one_line(rrnn, tmp_path, words):
    (tmp_path / "broken.yaml").write_text("mem_slot: 3\n", encoding="utf-8")
    answer = rrnn("train", *words, "--help")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_the_help_of_a_configuration_shows_its_values(rrnn):
    flat = " ".join(rrnn("train", "cpu-nth-farthest", "--help").out.split())
    assert "Number of vectors [an integer, at least 2; default 4]" in flat
    assert flat.endswith("The defaults shown are the values of cpu-nth-farthest.")
    assert "Number of vectors [an integer, at least 2; default 8]" in " ".join(
        rrnn("train", "nth-farthest", "--help").out.split()
    )


def test_the_usage_fits_a_narrow_terminal(rrnn, monkeypatch):
    monkeypatch.setenv("COLUMNS", "56")
    for words in ([], ["generate"], ["train"], ["train", "memorization"], ["bench"]):
        assert max(map(len, rrnn(*words, "--help").out.splitlines()[:3])) <= 56, words


def test_a_run_is_not_a_configuration(rrnn):
    Run("runs/mine").save_config(NthFarthestConfig())
    answer = rrnn("train", "mine")
    assert answer.err == (
        "error: mine: is a run, not a configuration; resume it with: rrnn train --resume mine\n"
    )
    assert (answer.code, rrnn("train", "mine", "--help").err) == (2, answer.err)


def test_an_unknown_name_is_one_short_line(rrnn):
    answer = rrnn("train", "xyz")
    assert answer.err == (
        "error: xyz: no such configuration; give a YAML file or a name that `rrnn list` shows\n"
    )


@pytest.fixture
def fitted(monkeypatch):
    """What ``fit`` was called with, which is not run."""
    calls = []

    def fit(config, **given):
        calls.append((config, given))
        raise KeyboardInterrupt

    monkeypatch.setattr("relational_rnn.train.fit", fit)
    return calls


def test_the_logger_is_passed_on_if_given(rrnn, fitted):
    stopped = rrnn("train", "memorization", "--run", "a")
    assert (stopped.code, stopped.out) == (130, "stopped; nothing was saved\n")
    assert rrnn("train", "memorization", "--run", "b", "--logger", "csv").code == 130
    assert fitted[0][1].keys() == {"run", "resume"}
    assert fitted[1][1]["logger"] == "csv"


def test_what_may_change_on_resume(rrnn, fitted):
    Run("runs/mine").save_config(ProgramsConfig(name="mine", threads=2))
    assert rrnn("train", "--resume", "mine", "--max-steps", 7).code == 130
    assert rrnn("train", "--resume", "mine", "--threads", 1).code == 130
    assert [(config.max_steps, config.threads) for config, _ in fitted] == [(7, 2), (None, 1)]
    refused = rrnn("train", "--resume", "mine", "--seed", 2)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "seed: cannot be changed when a run is resumed; these can: epochs, max_s" in refused.err
    other = rrnn("train", "--resume", "mine", "--data", "pydoc")
    assert "--data: not an option of programs; language-modeling has it" in other.err


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        (ProgramsConfig(curriculum="mix"), False),
        (ProgramsConfig(curriculum="combined"), True),
        (NthFarthestConfig(curriculum="grow"), True),
        (NthFarthestConfig(curriculum="mix"), False),
    ],
)
def test_a_curriculum_that_follows_the_loss_keeps_log_every(rrnn, fitted, config, refused):
    Run("runs/mine").save_config(config)
    answer = rrnn("train", "--resume", "mine", "--log-every", 7)
    assert answer.code == (2 if refused else 130)
    assert ("log_every: cannot be changed: curriculum" in answer.err) == refused


def test_typos_mean_options_of_the_task_that_is_named():
    assert train.suggest("--objcts", ["nth-farthest"]) == "; did you mean --objects?"
    assert train.suggest("--objcts", []) == "; did you mean --objects?"
    other = "; did you mean --objects (nth-farthest has it)?"
    assert train.suggest("--objcts", ["programs", "--objcts", "3"]) == other
    assert train.suggest("--rn", ["programs"]) == "; did you mean --run?"
    assert train.suggest("--qqqqq", ["programs"]) == ""


@pytest.mark.parametrize(
    ("flag", "wanted"),
    {
        **train.OLD_FLAGS,
        "--memslots": "--mem-slots",
        "--headsize": "--head-size",
        "--numheads": "--num-heads",
        "--numblocks": "--num-blocks",
        "--forgetbias": "--forget-bias",
        "--inputbias": "--input-bias",
        "--gatestyle": "--gate-style",
        "--keysize": "--key-size",
    }.items(),
)
def test_the_flags_of_the_older_port_are_known(rrnn, flag, wanted):
    answer = rrnn("train", "language-modeling", flag, "3")
    assert answer.err == f"error: {flag}: unknown option; did you mean {wanted}?\n"


@pytest.mark.parametrize("error", [UserError("no"), ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_no_folder_without_a_run(rrnn, monkeypatch, tmp_path, error):
    def fail(config, *, run, resume):
        with run.held(new=True):
            run.last_path.parent.mkdir()
            (run.folder / ".config.yaml.1.tmp").write_text("half", encoding="utf-8")
        raise error

    monkeypatch.setattr("relational_rnn.train.fit", fail)
    with suppress(BaseException):
        rrnn("train", "memorization", "--run", "a")
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]


def test_a_folder_in_which_another_process_trains_stays(tmp_path):
    run = Run(tmp_path / "a")
    run.folder.mkdir()
    with run.held(new=True):
        Run(run.folder).remove_if_empty()
        assert run.lock_path.exists()
    run.remove_if_empty()
    assert not run.folder.exists()


def test_match_weights_of_a_generated_task(rrnn, fitted):
    Run("runs/mine").save_config(NthFarthestConfig(name="mine", head_size=8))
    answer = rrnn("train", "nth-farthest", "--model", "lstm", "--match-weights", "mine")
    ((config, _),) = fitted
    weights = [count_weights(one) for one in (Run("runs/mine").config, config)]
    assert weights[1] == pytest.approx(weights[0], rel=0.01)
    given = NthFarthestConfig(name="nth-farthest", model="lstm")
    changed = {name for name, value in vars(config).items() if value != vars(given)[name]}
    assert changed == {"hidden_size"}
    assert answer.out.splitlines()[0] == (
        f"runs/mine: {weights[0]:,} weights; this model: {weights[1]:,}, "
        f"with hidden_size {config.hidden_size}"
    )


def test_match_weights_of_a_language_model(rrnn, fitted, make_run, text):
    run = make_run()
    sizes = text_sizes(run.vocabulary)
    options = ("--embedding-size", run.config.embedding_size, "--match-weights", run.folder)
    for model in ("rmc", "gru"):
        assert rrnn("train", "language-modeling", "--data", text, "--model", model, *options)
        config = fitted[-1][0]
        assert (config.model, config.num_heads) == (model, 4)
        most = [count_weights(one, **sizes) for one in (config, run.config)]
        assert most[0] == pytest.approx(most[1], rel=0.05)  # the widths are as small as the model


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nth-farthest", "--head-size", "3"], "--head-size: is decided by --match-weights; leave"),
        (["nth-farthest", "--key-size", "3"], "--key-size: is decided by --match-weights; leave"),
        (["nth-farthest", "--model", "lstm", "--hidden-size", "3"], "--hidden-size: is decided by"),
        (["programs"], "--match-weights: mine is a run of nth-farthest, not of programs; give a"),
        (["--resume", "mine"], "mine: a run is resumed in its own folder with its own config"),
        (["nth-farthest", "--readout-size", "2000"], "--match-weights: rmc: the narrowest core"),
        (["nth-farthest", "--num-heads", "4", "--embedding-size", "3"], "--embedding-size: not an"),
    ],
)
def test_match_weights_that_cannot_be(rrnn, fitted, words, told):
    Run("runs/mine").save_config(NthFarthestConfig(name="mine", head_size=8))
    answer = rrnn("train", *words, "--match-weights", "mine")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"error: {told}")
    assert not fitted


def test_match_weights_needs_the_same_text(rrnn, fitted, make_run):
    run = make_run()
    answer = rrnn("train", "language-modeling", "--match-weights", run.folder)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith("error: --match-weights: pydoc has another vocabulary (")
    assert "give the text of that run as --data" in answer.err
