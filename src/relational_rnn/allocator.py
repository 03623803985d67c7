"""The C library's allocator, told to keep what a training step frees for the next one."""

import ctypes
import sys

# <malloc.h> of the GNU C library
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MOST = 2**30
NEVER = -1


def keep_freed_memory() -> bool:
    """Do not give freed memory back to the system; whether that could be had.

    A training step frees and asks for the same hundreds of megabytes again and again. By default
    glibc hands each large piece back and the system clears each page anew: a fifth of the time of
    a step on a small CPU (docs/speed.md). Only for processes of our own; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MOST)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
