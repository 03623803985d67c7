"""Compiling, caching and loading the native core: every way in which that can go wrong."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from relational_rnn.ops.relational_memory import relational_memory
from relational_rnn.ops.relational_memory.native import build

Compiler = Callable[..., Path]


@pytest.fixture(scope="module")
def library() -> Path:
    """A library that is right."""
    if not any(map(shutil.which, build.COMPILERS)) and "CXX" not in os.environ:
        pytest.skip("no C++ compiler")
    return build.build()


@pytest.fixture
def compiler(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """A compiler that copies the library and notes each call, with a cache of its own."""

    def make(script: str = 'cp "$LIBRARY" "$out"', *, cache: Path = tmp_path / "cache") -> Path:
        path, calls = tmp_path / "compiler", tmp_path / "calls"
        path.write_text(
            '#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1.0; exit; fi\n'
            f'LIBRARY="{library}"; echo call >> "{calls}"\n'
            f'while [ $# -gt 1 ]; do shift; done; out="$1"\n{script}\n'
        )
        path.chmod(0o700)
        calls.write_text("")
        monkeypatch.setenv("CXX", str(path))
        monkeypatch.setenv("RRNN_CACHE", str(cache))
        return calls

    return make


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not asked for the library yet."""
    for name in ("RRNN_NATIVE", "RRNN_NATIVE_FLAGS", "RRNN_NATIVE_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "_library", build.cache(build._library.__wrapped__))
    monkeypatch.setattr(build, "available", build.cache(build.available.__wrapped__))


def run(problem: Callable[..., Any], backend: str) -> torch.Tensor:
    return relational_memory(*problem().to(torch.float32)[:4], backend=backend)[0]


def assert_falls_back(
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    reason: str,
) -> None:
    """Under "auto" there is one note and the fused loop, and forced there is an error."""
    expected = run(problem, "fused")
    capfd.readouterr()
    for _ in range(2):
        assert torch.equal(run(problem, "auto"), expected)
    notes = [line for line in capfd.readouterr().err.splitlines() if "no native core" in line]
    assert len(notes) == 1
    assert reason in notes[0]
    with pytest.raises(ValueError, match="backend 'native' cannot run") as error:
        run(problem, "native")
    assert reason in str(error.value)


def test_compiles_once(compiler: Compiler, capfd: pytest.CaptureFixture[str]) -> None:
    calls = compiler()
    first = build.build()
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("relational-rnn: compiling the native core with")
    assert told[0].endswith(" s")
    assert build.build() == first
    assert calls.read_text() == "call\n"
    assert capfd.readouterr().err == ""
    assert first.parent.stat().st_mode & 0o777 == 0o700


def test_other_flags_are_another_library(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = compiler()
    first = build.build()
    monkeypatch.setenv("RRNN_NATIVE_FLAGS", "-DSOMETHING")
    assert build.build() != first
    assert calls.read_text() == "call\ncall\n"


def test_several_processes_compile_once(compiler: Compiler) -> None:
    calls = compiler('sleep 1; cp "$LIBRARY" "$out"')
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('build', {str(build.__file__)!r})\n"
        "build = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(build)\n"
        "print(build.build())\n"
        "assert build.why_not() is None\n"
        "assert 'torch' not in sys.modules\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    paths = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(paths) == 1
    assert calls.read_text() == "call\n"


@pytest.mark.parametrize("size", [0, 1000, -1])
def test_a_damaged_library_is_compiled_again(compiler: Compiler, size: int) -> None:
    calls = compiler()
    path = build.build()
    content = path.read_bytes()
    path.write_bytes(content[:size])
    assert build.build() == path
    assert path.read_bytes() == content
    assert calls.read_text() == "call\ncall\n"
    assert build.why_not() is None


def test_no_compiler(
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    reason = "none of c++, g++, clang++ is on the PATH"
    assert_falls_back(problem, monkeypatch, capfd, reason)


def test_a_compiler_that_is_not_there(
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    reason = "CXX, 'no-such-compiler', is not on the PATH"
    assert_falls_back(problem, monkeypatch, capfd, reason)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param("echo 'x.cpp:1: error: odd' >&2; exit 3", "exit code 3: x.cpp:1: error: odd"),
        pytest.param('echo garbage > "$out"', "not a library of the native core"),
    ],
    ids=["fails", "garbage"],
)
def test_a_broken_compiler(
    compiler: Compiler,
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
    reason: str,
    tmp_path: Path,
) -> None:
    compiler(script)
    assert_falls_back(problem, monkeypatch, capfd, reason)
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_a_cache_that_cannot_be_written(
    compiler: Compiler,
    problem: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(build.tempfile, "tempdir", str(temporary))
    compiler(cache=tmp_path / "file")
    for _ in range(2):
        assert run(problem, "native").isfinite().all()
    told = capfd.readouterr().err
    assert told.count("compiling the native core for this process alone") == 1
    assert str(tmp_path / "file") in told
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_cache_that_others_can_write_is_not_used(
    compiler: Compiler, capfd: pytest.CaptureFixture[str], mode: int
) -> None:
    calls = compiler()
    build.build().parent.chmod(mode)
    assert build.why_not() is None
    assert f"others can write to it (mode {mode:o})" in capfd.readouterr().err
    assert calls.read_text() == "call\ncall\n"


def test_a_library_of_another_user_is_not_loaded(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "native.so"
    shutil.copyfile(library, path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(build.os, "geteuid", lambda: 12345)
    monkeypatch.setenv("RRNN_NATIVE_LIBRARY", str(path))
    assert "belongs to another user" in (build.why_not() or "")


def test_a_given_library(
    library: Path,
    tmp_path: Path,
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "native.so"
    shutil.copyfile(library, path)
    monkeypatch.setenv("RRNN_NATIVE_LIBRARY", str(path))
    monkeypatch.setenv("PATH", "")
    assert run(problem, "native").isfinite().all()


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(lambda path: path.unlink(), "No such file", id="missing"),
        pytest.param(lambda path: path.write_text("text"), "not a library", id="no library"),
        pytest.param(lambda path: path.chmod(0o777), "others can write to it", id="writable"),
        pytest.param(lambda path: path.parent.chmod(0o777), "others can write", id="its folder"),
    ],
)
def test_a_given_library_that_cannot_be_used(
    library: Path,
    tmp_path: Path,
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    prepare: Callable[[Path], None],
    reason: str,
) -> None:
    path = tmp_path / "own" / "native.so"
    path.parent.mkdir()
    shutil.copyfile(library, path)
    prepare(path)
    monkeypatch.setenv("RRNN_NATIVE_LIBRARY", str(path))
    assert_falls_back(problem, monkeypatch, capfd, reason)


def test_a_library_of_another_version(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "native.so"
    shutil.copyfile(library, path)
    monkeypatch.setattr(build, "source_hash", lambda: "0123456789abcdef")
    with pytest.raises(build.BuildError, match=r"another version of kernel\.cpp; run rrnn build"):
        build.load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_a_library_for_another_cpu(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "native.so"
    shutil.copyfile(library, path)
    features = build.load(path).rrnn_features().decode().split()
    if not features:
        pytest.skip("the compiler names no features of this CPU")
    monkeypatch.setattr(build, "_cpu", lambda: "fpu")
    with pytest.raises(build.BuildError, match=r"made for a CPU with .*which this one lacks"):
        build.load(path)


def test_turned_off(
    problem: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RRNN_NATIVE", "0")
    assert torch.equal(run(problem, "auto"), run(problem, "fused"))
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match="RRNN_NATIVE is 0"):
        run(problem, "native")
