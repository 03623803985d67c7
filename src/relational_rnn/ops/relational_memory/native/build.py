"""Compile kernel.cpp for this machine at first use, keep the library, and load it.

Environment variables:
    CXX: the compiler, with arguments if need be. Default: the first of c++, g++ and clang++.
    RRNN_NATIVE: ``0`` turns the native core off.
    RRNN_NATIVE_FLAGS: more compiler flags, after the default ones.
    RRNN_NATIVE_LIBRARY: a library made by ``rrnn build --output``; nothing is compiled.
    RRNN_CACHE: the cache folder. Default: the platform's.

This file imports neither PyTorch nor another file of the package: ``rrnn build`` loads it alone.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

SOURCE = Path(__file__).with_name("kernel.cpp")
COMPILERS = ("c++", "g++", "clang++")
# not -ffast-math: linking with it changes how the whole process rounds small numbers to zero
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
SECONDS = 600  # before a compiler that does not end is given up


class BuildError(Exception):
    """There is no native library, with the reason."""


def why_not() -> str | None:
    """Why there is no native library; None if there is one. Compiles it if need be."""
    found = _library()
    return found if isinstance(found, str) else None


def library() -> ctypes.CDLL:
    """The native library.

    Raises:
        BuildError: if there is none.
    """
    found = _library()
    if isinstance(found, str):
        raise BuildError(found)
    return found


@cache
def available() -> bool:
    """Whether there is a native library. If not, one line on stderr has the reason, once."""
    reason = why_not()
    if reason is not None and os.environ.get("RRNN_NATIVE") != "0":
        _tell(f"no native core, using the loop in PyTorch instead: {reason}")
    return reason is None


def multiplies_bfloat16() -> bool:
    """Whether the native library can multiply in bfloat16 on this CPU."""
    return bool(library().rrnn_multiplies_bfloat16())


@cache
def _library() -> ctypes.CDLL | str:
    try:
        if os.environ.get("RRNN_NATIVE") == "0":
            return "RRNN_NATIVE is 0"
        if sys.platform == "win32":
            return "it is not available on Windows"
        given = os.environ.get("RRNN_NATIVE_LIBRARY")
        if given:
            return load(Path(given))
        try:
            return load(build())
        except OSError as error:  # of the cache folder
            reason = f"{error.filename or cache_folder()}: {error.strerror or error}"
        _tell(f"{reason}; compiling the native core for this process alone")
        with tempfile.TemporaryDirectory(prefix="relational-rnn-") as folder:
            return load(build(Path(folder)))  # once loaded, the file is not needed any more
    except (BuildError, OSError) as error:
        return str(error)


def cache_folder() -> Path:
    """Where compiled libraries are kept."""
    root = os.environ.get("RRNN_CACHE") or user_cache_path("relational-rnn")
    return Path(root) / "native"


def build(folder: Path | None = None) -> Path:
    """Compile the library unless the folder has it already.

    Several processes may do so at once: one compiles, the others wait.

    Args:
        folder: default: `cache_folder`.

    Returns:
        Its path: the name has a hash of all that decides its content, and one of the content.

    Raises:
        BuildError: if there is no compiler or it fails.
        OSError: if the folder cannot be used.
    """
    compiler = _compiler()
    flags = (*FLAGS, _tuning(), *shlex.split(os.environ.get("RRNN_NATIVE_FLAGS", "")))
    key = _digest(
        "\0".join((source_hash(), *compiler, _version(compiler), *flags, _cpu())).encode()
    )
    folder = cache_folder() if folder is None else folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = _why_not_trusted(folder)
    if reason is not None:
        raise PermissionError(0, reason, str(folder))
    kept = _kept(folder, key)
    if kept is not None:
        return kept
    with _lock(folder):
        return _kept(folder, key) or _compile(compiler, flags, folder, key)


def load(path: Path) -> ctypes.CDLL:
    """Load a library that this source gave.

    Raises:
        BuildError: if others can change the file, if it was made from another source or for
            another CPU, or if it cannot be loaded.
    """
    path = path.resolve()  # a bare name would be searched for elsewhere
    reason = None
    try:
        reason = _why_not_trusted(path) or _why_not_trusted(path.parent)
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise BuildError(f"{path}: {reason}")
    try:
        found = ctypes.CDLL(str(path))
        for name in ("rrnn_source", "rrnn_features"):
            getattr(found, name).restype = ctypes.c_char_p
        source, features = found.rrnn_source().decode(), found.rrnn_features().decode().split()
    except (AttributeError, OSError) as error:
        raise BuildError(f"{path}: not a library of the native core: {error}") from error
    if source != source_hash():
        raise BuildError(f"{path}: made from another version of kernel.cpp; run rrnn build again")
    missing = [] if sys.platform != "linux" else sorted(set(features) - set(_cpu().split()))
    if missing:
        raise BuildError(f"{path}: made for a CPU with {', '.join(missing)}, which this one lacks")
    for name in ("rrnn_measure", "rrnn_forward", "rrnn_backward"):
        getattr(found, name).restype = None
    return found


@cache
def source_hash() -> str:
    """Of kernel.cpp."""
    return _digest(SOURCE.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _tell(text: str) -> None:
    print(f"relational-rnn: {text}", file=sys.stderr, flush=True)


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CXX", ""))
    for name in (chosen[0],) if chosen else COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return [path, *chosen[1:]]
    looked_for = f"CXX, {chosen[0]!r}, is not" if chosen else f"none of {', '.join(COMPILERS)} is"
    raise BuildError(f"no C++ compiler: {looked_for} on the PATH")


def _version(compiler: list[str]) -> str:
    return _output([*compiler, "--version"]).partition("\n")[0]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [""]
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}: {lines[0]}")
    return done.stdout


def _tuning() -> str:
    """The flag for the CPU of this machine."""
    return "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"


@cache
def _cpu() -> str:
    """What distinguishes this CPU; on Linux the names of its features."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return value.strip()
    return f"{platform.machine()} {platform.processor()}"


def _why_not_trusted(path: Path) -> str | None:
    """Why this process must not run what is in a file or folder; None if it may."""
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to it (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _kept(folder: Path, key: str) -> Path | None:
    """A library that was compiled before and is whole. A damaged one is removed."""
    for path in folder.glob(f"{key}-*.so"):
        if path.stem == f"{key}-{_digest(path.read_bytes())}":
            return path
        path.unlink(missing_ok=True)
    return None


def _compile(compiler: list[str], flags: tuple[str, ...], folder: Path, key: str) -> Path:
    """Compile under a temporary name, then rename: no process sees half a library."""
    descriptor, temporary = tempfile.mkstemp(prefix=f"{key}.", suffix=".tmp", dir=folder)
    os.close(descriptor)
    start = time.perf_counter()
    print(
        f"relational-rnn: compiling the native core with {compiler[0]}, once for this machine ...",
        end="",
        file=sys.stderr,
        flush=True,
    )
    try:
        define = f"-DRRNN_SOURCE={source_hash()}"
        _output([*compiler, *flags, define, str(SOURCE), "-o", temporary])
        os.chmod(temporary, 0o700)
        target = folder / f"{key}-{_digest(Path(temporary).read_bytes())}.so"
        os.replace(temporary, target)
    except BaseException:
        print(" failed", file=sys.stderr, flush=True)
        Path(temporary).unlink(missing_ok=True)
        raise
    print(f" {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    return target


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One process at a time. The system frees it when its process ends."""
    import fcntl  # not on Windows

    with open(folder / "lock", "w", encoding="utf-8") as file:
        with suppress(OSError):  # some network file systems have no locks: several may compile
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
