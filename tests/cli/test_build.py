import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relational_rnn.cli import main


@pytest.fixture(autouse=True)
def compiler(tmp_path, monkeypatch):
    path = tmp_path / "compiler"
    path.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then exit; fi\n'
        'while [ $# -gt 1 ]; do shift; done\necho library > "$1"\n'
    )
    path.chmod(0o700)
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setenv("RRNN_CACHE", str(tmp_path / "cache"))
    return path


def test_compiles_into_the_cache(tmp_path, capsys):
    assert main(["build", "--json"]) == 0
    path, result = capsys.readouterr().out.splitlines()
    assert json.loads(result) == {"library": path}
    assert Path(path).parent == tmp_path / "cache" / "native"
    assert Path(path).read_text() == "library\n"


def test_copies_to_a_file(tmp_path, capsys):
    output = tmp_path / "native.so"
    assert main(["build", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.read_text() == "library\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "compiler", "native.so"]


def test_tells_what_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main(["build"]) == 2
    error = capsys.readouterr().err
    assert error == "error: no C++ compiler: CXX, 'no-such-compiler', is not on the PATH\n"


def test_does_not_import_torch():
    code = (
        "import sys; from relational_rnn.cli import main; main(['build'])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
def test_the_library_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CXX")
    output = tmp_path / "native.so"
    assert main(["build", "--output", str(output)]) == 0
    code = (
        "import torch; from relational_rnn import RelationalMemory\n"
        "RelationalMemory(3, 2, 4, backend='native')(torch.ones(2, 2, 3))"
    )
    environment = {**os.environ, "RRNN_NATIVE_LIBRARY": str(output), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
