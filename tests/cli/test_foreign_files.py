"""Run folders and configurations from elsewhere are data: nothing in them is run as code."""

import io
import os
import pickle
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from relational_rnn.bench.worker import COMMAND as BENCH_COMMAND
from relational_rnn.errors import UserError
from relational_rnn.pretrained.export import export
from relational_rnn.sweep.worker import COMMAND as TRIAL_COMMAND

TRACE = Path("code-was-run")


class Payload:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (TRACE,)


def saved(**options):
    file = io.BytesIO()
    torch.save({"state_dict": {"model.x": Payload()}, "origin": Payload()}, file, **options)
    return file.getvalue()


FORMATS = {
    "archive": saved(),
    "legacy": saved(_use_new_zipfile_serialization=False),
    "pickle": pickle.dumps(Payload()),
}
FILES = ("model.safetensors", "checkpoints/last.ckpt", "checkpoints/best.ckpt")
VERBS = {
    "test": ["--split", "valid"],
    "generate": ["--words", "2"],
    "score": ["text/test.txt"],
    "inspect": [],
}


@pytest.fixture(params=FORMATS)
def payload(request):
    """The content of a file that runs code when it is unpickled, in each format."""
    return FORMATS[request.param]


@pytest.fixture
def plant(make_run, payload):
    """A run whose only weights are the payload in one of its files."""

    def make(file):
        run = make_run()
        run.weights_path.unlink()
        (run.folder / file).parent.mkdir(exist_ok=True)
        (run.folder / file).write_bytes(payload)
        return run

    return make


def test_the_payload_is_live(payload):
    with suppress(RuntimeError):  # a bare pickle is no checkpoint, which torch sees too late
        torch.load(io.BytesIO(payload), weights_only=False)
    assert TRACE.exists()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("verb", VERBS)
def test_code_in_weights_never_runs(rrnn, plant, verb, file):
    plant(file)
    answer = rrnn(verb, "mine", *VERBS[verb])
    assert not TRACE.exists()
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("file", FILES)
def test_code_in_a_checkpoint_never_runs_on_resume(rrnn, plant, file):
    plant(file)
    answer = rrnn("train", "--resume", "mine", "--max-steps", "1", "--device", "cpu")
    assert not TRACE.exists()
    if file == "checkpoints/last.ckpt":
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("file", FILES)
def test_code_in_weights_never_runs_on_export(plant, tmp_path, file):
    run = plant(file)
    with pytest.raises(UserError):
        export(run, "new", folder=tmp_path / "models")
    assert not TRACE.exists()


TAGS = ("!!python/object/apply:os.mkdir [code-was-run]", "!!python/name:os.system ''")


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("verb", ["test", "report", "train", "sweep", "list"])
def test_yaml_makes_no_objects(rrnn, make_run, verb, tag):
    make_run().config_path.write_text(f"name: {tag}\n", encoding="utf-8")
    Path("sweep.yaml").write_text(f"base: {tag}\nspace: {tag}\n", encoding="utf-8")
    arguments = {
        "train": ["runs/mine/config.yaml"],
        "sweep": ["sweep.yaml"],
        "list": [],
    }
    answer = rrnn(verb, *arguments.get(verb, ["mine"]))
    assert not TRACE.exists()
    assert answer.err.count("\n") == 1
    assert answer.code == (0 if verb == "list" else 2)


def test_a_configuration_imports_no_logger(rrnn, make_run):
    run = make_run()
    fields = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    run.config_path.write_text(yaml.safe_dump(fields | {"logger": "os.abort"}), encoding="utf-8")
    for command in (["train", "runs/mine/config.yaml"], ["train", "--resume", "mine"]):
        answer = rrnn(*command)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "logger: unknown field" in answer.err


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b", "nul\0"])
def test_a_configuration_writes_below_runs_only(rrnn, tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    fields = {"task": "memorization", "name": name, "max_steps": 1}
    (inside / "foreign.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    answer = rrnn("train", inside / "foreign.yaml")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "cannot name a run folder; give --run" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert not Path("/outside-rmc-1").exists()


@pytest.mark.parametrize("command", [TRIAL_COMMAND, BENCH_COMMAND], ids=["trial", "bench"])
def test_a_module_in_the_working_folder_is_not_imported(tmp_path, command):
    for name in ("json", "yaml", "torch", "filelock"):
        (tmp_path / f"{name}.py").write_text(f"open({str(TRACE)!r}, 'w')\n", encoding="utf-8")
    done = subprocess.run([*command], cwd=tmp_path, capture_output=True, text=True, check=False)
    # It misses its arguments: it has imported all that it needs to read them.
    assert "sys.argv[1" in done.stderr
    assert not (tmp_path / TRACE).exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("metrics.csv", ("report", "mine")),
        ("vocabulary.json", ("report", "mine")),
        ("vocabulary.json", ("test", "mine")),
        ("summary.json", ("report", "mine")),
        ("text.json", ("report", "mine")),
        ("checkpoints/best.ckpt", ("generate", "mine", "--words", 1)),
        ("checkpoints/last.ckpt", ("train", "--resume", "mine")),
    ],
)
@pytest.mark.timeout(30)
def test_a_named_pipe_is_not_waited_for(rrnn, make_run, name, words):
    run = make_run()
    (run.folder / name).unlink(missing_ok=True)
    if name == "checkpoints/best.ckpt":
        run.weights_path.unlink()
    os.mkfifo(run.folder / name)
    answer = rrnn(*words)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith(("not a regular file\n", "rrnn train --resume mine\n"))
