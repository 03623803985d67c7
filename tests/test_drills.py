"""The drills run, count what they try, and notice what is wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)  # many processes one after the other

ROOT = Path(__file__).parents[1]
FAST = ("kills", "damage", "disk", "fuzz", "names", "soak")


def run(*words, cwd=ROOT):
    command = [sys.executable, "-m", "drills", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "drills", [pytest.param(FAST, id="fast"), pytest.param(("signals",), marks=pytest.mark.slow)]
)
def test_every_drill_runs_without_a_failure(tmp_path, drills):
    done = run(*drills, "--tries", 4, "--seed", 2, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n0 failures\n")
    for drill in drills:
        result = json.loads((tmp_path / f"{drill}-short.json").read_text(encoding="utf-8"))
        assert result["drill"] == drill
        assert result["machine"]["commit"] is not None
        assert all(row["tries"] or "skipped" in str(row["outcomes"]) for row in result["rows"])


@pytest.mark.slow
def test_a_package_that_does_not_check_its_weights_fails(tmp_path):
    """In a copy of the package, weights and digests are no longer verified."""
    for name in ("drills", "src"):
        shutil.copytree(ROOT / name, tmp_path / name)
    package = tmp_path / "src/relational_rnn"
    for file, check, nothing in (
        ("weights.py", "if metadata.get(DIGEST, known := _digest(tensors)) != known:", "if False:"),
        ("runs.py", "return changed_files(self.summary, self.folder)", "return []"),
    ):
        code = (package / file).read_text(encoding="utf-8")
        assert check in code
        (package / file).write_text(code.replace(check, nothing), encoding="utf-8")
    program = f"""
import sys
sys.path[:0] = [{str(tmp_path / "src")!r}, {str(tmp_path)!r}]
from drills import __main__, damage
damage.CASES = [case for case in damage.CASES if case.file.endswith("model.safetensors")]
sys.exit(__main__.main(["damage", "--tries", "12", "--output", {str(tmp_path)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "silently taken" in done.stdout


def test_an_unknown_drill_is_refused(tmp_path):
    done = run("kill", "--output", tmp_path)
    assert done.returncode == 2
    assert "kill: no such drill; the drills are kills," in done.stderr
