"""Memory of this process: its current size, and the peak during a piece of work.

On Linux the kernel keeps the peak resident size (``VmHWM`` in ``/proc/self/status``) and resets it
when 5 is written to ``/proc/self/clear_refs``. Elsewhere only the peak over the lifetime of the
process is known (``ru_maxrss``), and its growth is a lower bound. On a GPU, PyTorch's allocator
counts.
"""

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
MB = 1e6


def peak_during(work: Callable[[], None], device: str = "cpu") -> float:
    """Peak memory of `work` in megabytes (10^6 bytes), above the memory in use before it."""
    release()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / MB
    if not _reset_peak():
        before = lifetime_peak()
        work()
        return (lifetime_peak() - before) / MB
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / MB


def resident() -> float:
    """Resident size in megabytes, after freed blocks have been returned to the system.

    On systems that do not report it, the peak over the lifetime of the process.
    """
    release()
    return (_status("VmRSS") if STATUS.exists() else lifetime_peak()) / MB


def private() -> float:
    """Resident size in megabytes without pages of mapped files.

    On systems that do not report it, the resident size.
    """
    return _status("RssAnon") / MB if STATUS.exists() else resident()


def lifetime_peak() -> int:
    """Peak resident size over the lifetime of the process, in bytes."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release() -> None:
    """Return freed memory to the system: memory that the process keeps would hide a later peak."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only in glibc
        if trim is not None:
            trim(0)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {name}")
    return int(found[1]) * 1024
