"""Random number generator states of all processes, for the checkpoint."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor


def save(device: torch.device, gather: Callable[[Tensor], list[Tensor]]) -> list[dict[str, Tensor]]:
    """Collect the states of the CPU's and the device's generator, one dictionary per process.

    Args:
        device: the device of this process.
        gather: maps a tensor on the device to the tensors of all processes.
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states["device"] = getattr(torch, device.type).get_rng_state()
    by_name = {name: gather(state.to(device)) for name, state in states.items()}
    return [
        # Copies: torch crashes on a state that is a view of another tensor.
        {name: ranks[rank].cpu().clone() for name, ranks in by_name.items()}
        for rank in range(len(by_name["cpu"]))
    ]


def restore(saved: list[dict[str, Tensor]], rank: int, device: torch.device) -> None:
    """Set the generators of process ``rank``; seed them if no state was saved for it."""
    if rank < len(saved):
        torch.set_rng_state(saved[rank]["cpu"])
        if device.type != "cpu" and "device" in saved[rank]:
            getattr(torch, device.type).set_rng_state(saved[rank]["device"])
        return
    warnings.warn(
        "resumed with more processes than before: training continues, but not to the same bits",
        stacklevel=2,
    )
    torch.manual_seed(int(saved[0]["cpu"].sum()) + rank)
