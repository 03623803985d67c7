"""The processes that train together, as launchers describe them in the environment."""

import os

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this is the process that writes and prints; True for a process alone."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)
