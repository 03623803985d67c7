"""Make the C library's allocator keep the memory that a training step frees for the next one."""

import ctypes
import sys

# <malloc.h> of the GNU C library
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_BLOCK = 2**30
NEVER = -1


def keep_freed_memory() -> bool:
    """Keep freed memory in the process; return whether the allocator supports it (glibc only).

    Every training step allocates and frees the same hundreds of megabytes. By default glibc returns
    each large block to the system, which clears every page again: a fifth of a step's time on a
    small CPU (docs/speed.md). Called by the command only; a program that imports the package keeps
    its own settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
