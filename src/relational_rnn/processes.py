"""The processes that train together, as launchers describe them in the environment."""

import os
import re

from .errors import UserError

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this is the process that writes and prints; True for a process alone."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


def check_launcher(*, devices: int, num_nodes: int) -> None:
    """Check that the launcher's variables describe one of the processes that are to be trained.

    Otherwise a variable left in the environment would make this process wait for others, or leave
    all work to a first process that does not exist.

    Raises:
        UserError: a variable contradicts the number of devices and nodes.
    """
    processes = devices * num_nodes
    ranks = {
        "RANK": processes,
        "LOCAL_RANK": devices,
        "NODE_RANK": num_nodes,
        "GROUP_RANK": num_nodes,
        "SLURM_PROCID": processes,
    }
    counts = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": devices}
    if os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):  # where Slurm starts one
        counts |= {"SLURM_NTASKS": processes, "SLURM_NTASKS_PER_NODE": devices}
        counts |= {"SLURM_NNODES": num_nodes}
    allowed = {name: range(number) for name, number in ranks.items()}
    allowed |= {name: range(number, number + 1) for name, number in counts.items()}
    for name, numbers in allowed.items():
        value = os.environ.get(name, str(numbers[0]))
        if not re.fullmatch("[0-9]{1,9}", value) or int(value) not in numbers:
            needed = numbers[0] if len(numbers) == 1 else f"0 to {numbers[-1]}"
            raise UserError(
                f"{name}={value!r} in the environment: contradicts --devices {devices} and "
                f"--num-nodes {num_nodes}, which need {needed}; unset it, or give the numbers of "
                "the launcher"
            )
