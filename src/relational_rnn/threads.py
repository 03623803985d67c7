"""CPU threads of PyTorch: how many a run uses, and how they wait for each other.

PyTorch starts as many threads as there are CPUs, and each spins for milliseconds at the end of
every parallel loop. If other programs are busy, a waiting thread thus takes the CPU from the thread
it waits for, and a step of a small core takes many times as long. Threads that sleep at once are
slow on an idle machine. The command therefore checks whether the machine is busy, and sets how long
threads spin; that changes no result. The number of threads does (sums are rounded in another
order), so it depends on the configuration and the CPUs only and is saved with the run.

``rrnn bench --busy`` measures both choices against others; docs/speed.md has the figures.

Both are set for the command's own processes; a program that imports the modules keeps its settings.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .config import TaskConfig

WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

IDLE_SPINS = 10_000
BUSY_SPINS = 0
"""Iterations that a thread of GNU OpenMP spins before it sleeps, on an idle and on a busy machine;
its default is 300,000."""

IDLE_MILLISECONDS = 1
BUSY_MILLISECONDS = 0
"""The same for the OpenMP library of LLVM and Intel (macOS, Windows); the default is 200."""

SAMPLE_SECONDS = 0.05
IDLE_SHARE = 0.75
"""A machine is busy if less than this share of the CPUs that this process may use is idle: one
other program makes two CPUs busy, but not 64."""

WORK_PER_THREAD = 2_000_000
"""Multiply-adds of one step of the core, over the batch, that justify one more thread."""


def set_wait_policy() -> None:
    """Set how long waiting threads spin, for this process and its children.

    Nothing happens if the user has set one of ``WAIT_VARIABLES``, or torch is imported already and
    has read them.
    """
    if "torch" in sys.modules or any(name in os.environ for name in WAIT_VARIABLES):
        return
    busy = is_busy()
    os.environ["GOMP_SPINCOUNT"] = str(BUSY_SPINS if busy else IDLE_SPINS)
    os.environ["KMP_BLOCKTIME"] = str(BUSY_MILLISECONDS if busy else IDLE_MILLISECONDS)


def is_busy() -> bool:
    """Whether other programs use the CPUs now; False where idle times are unknown (no /proc)."""
    before, start = _idle_seconds(), time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    after, elapsed = _idle_seconds(), time.monotonic() - start  # a busy machine wakes this up late
    idle_cpus = (sum(after) - sum(before)) / elapsed
    return bool(before) and idle_cpus < IDLE_SHARE * available_cpus()


def threads_for(config: TaskConfig) -> int:
    """Number of threads for each process that trains or evaluates a configuration on the CPU.

    ``config.threads`` decides if it is set. Otherwise the number follows from the size of the core
    (``WORK_PER_THREAD``), and is at most :func:`most_threads`.
    """
    if config.threads is not None:
        return config.threads
    return max(1, min(most_threads(config.devices), core_work(config) // WORK_PER_THREAD))


def most_threads(processes: int) -> int:
    """Threads that each of several processes may use: its share of the CPUs, at least 1.

    OMP_NUM_THREADS can lower the number, but not raise it.
    """
    most = available_cpus() // processes
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if re.fullmatch("[0-9]{1,9}", given):
        most = min(most, int(given))
    return max(1, most)


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Run the block on ``count`` threads; None leaves the number as it is."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_threads_of(config: TaskConfig) -> None:
    """Evaluate a run's model in this process on the run's number of threads, if there are so many.

    A run may come from a larger machine.
    """
    import torch

    torch.set_num_threads(min(threads_for(config), most_threads(1)))


def core_work(config: TaskConfig) -> int:
    """Multiply-adds of one step of one layer of the core, over a process's part of the batch."""
    columns = (config.micro_batch_size or config.batch_size) // (config.devices * config.num_nodes)
    if config.model != "rmc":
        hidden = config.hidden_size
        if hidden is None:
            hidden = int(getattr(config, "embedding_size", 0))
        # minGRU has two matrices, and none of them acts on the state.
        return columns * (2 if config.model == "mingru" else 8) * hidden * hidden
    width = config.head_size * config.num_heads
    qkv = config.num_heads * (2 * (config.key_size or config.head_size) + config.head_size)
    row = width * qkv + (config.attention_mlp_layers + 2) * width**2  # 2: the gates
    return columns * (config.mem_slots + config.input_rows) * config.num_blocks * row


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, and the quota of its container."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
    return max(1, min(count, _quota() or count))


def _idle_seconds() -> list[float]:
    """Idle time of each CPU that this process may run on; empty where the system does not tell."""
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
        own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return []
    rows = [line.split() for line in lines if line.split(" ")[0] in own]
    return [(int(row[4]) + int(row[5])) / ticks for row in rows]  # idle, and waiting for a disk


def _quota() -> int | None:
    """CPUs that the control group grants, rounded up; None without a limit."""
    root = Path("/sys/fs/cgroup")
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (root / "cpu" / name).read_text(encoding="utf-8")
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        return -(-int(quota) // int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # not Linux, or "max"
        return None
