"""The code, libraries and machine that a figure was measured with."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("torch", "lightning", "numpy")


def commit() -> str | None:
    """The commit of the source tree of this package; None for an installed package."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10
        )
        known = subprocess.run(
            ["git", "ls-files", "--error-unmatch", __file__], cwd=here, capture_output=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == known.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that determine results."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("relational-rnn", *LIBRARIES)},
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Operating system, processor with its instruction set, threads, and the device used."""
    instructions = torch.backends.cpu.get_cpu_capability()
    known = "" if instructions == "DEFAULT" else f" ({instructions})"
    return {
        "system": platform.platform(terse=True),
        "processor": _processor() + known,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
