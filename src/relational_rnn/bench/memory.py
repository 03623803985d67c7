"""Memory of a process: what it has now, and the peak while something runs.

On Linux the kernel keeps the highest resident size (``VmHWM`` in ``/proc/self/status``), and
forgets it when 5 is written to ``/proc/self/clear_refs``. Elsewhere only the peak of the
process's whole life is known (``ru_maxrss``); its growth is then a lower bound. On a GPU it is
the memory given out by PyTorch's allocator.
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
    """Megabytes (10^6 bytes) that `work` takes at its peak, above what the process has before."""
    release()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / MB
    if not _forget_peak():
        before = lifetime_peak()
        work()
        return (lifetime_peak() - before) / MB
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / MB


def resident() -> float:
    """Megabytes of the process that are in memory, freed blocks given back beforehand.

    Where the system does not tell, the highest there ever were.
    """
    release()
    return (_status("VmRSS") if STATUS.exists() else lifetime_peak()) / MB


def private() -> float:
    """Megabytes of the process that are its own: in memory, and no pages of mapped files.

    Where the system does not tell, all that is in memory.
    """
    return _status("RssAnon") / MB if STATUS.exists() else resident()


def lifetime_peak() -> int:
    """Bytes of the largest resident size so far."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release() -> None:
    """Give freed memory back to the system: a later peak would hide in what is kept."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)


def _forget_peak() -> bool:
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
