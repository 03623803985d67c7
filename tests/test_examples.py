"""The examples run, at a small size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "plain_loop": ["--steps", "3"],
    "time_series": ["--steps", "2"],
    "lightning_module": ["--epochs", "1", "--examples", "128"],
    "recall_rl": ["--steps", "4096", "--seeds", "1", "--output", "."],
}


def test_all_are_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == ARGUMENTS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_runs(name, tmp_path):
    if name == "recall_rl":
        pytest.importorskip("gymnasium")
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *ARGUMENTS[name]],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if name == "recall_rl":
        assert {path.name for path in tmp_path.iterdir()} >= {"recall.json", "recall.png"}
