"""Refuse sizes that cannot fit into memory, before anything of that size is allocated.

The estimate is a lower bound: what it refuses does not fit. A system that overcommits memory would
otherwise grant it all, and kill the process later, without a word.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from ..config import GeneratedConfig, TaskConfig
from ..config.fields import options
from ..errors import UserError
from ..registry import build_model, is_generated

FLOAT = 4
"""Bytes of a float32."""

SIZES = (
    *("batch_size", "micro_batch_size", "bptt", "num_layers", "mem_slots", "input_rows"),
    *("head_size", "num_heads", "key_size", "num_blocks", "attention_mlp_layers", "hidden_size"),
    *("embedding_size", "mixtures", "readout_layers", "readout_size", "objects", "features"),
    *("length", "nesting", "valid_examples", "test_examples"),
)
"""The fields that decide how much memory is needed."""

EXHAUSTED = re.compile(
    "can't allocate|not enough memory|out of memory|(?<!without )overflow", re.IGNORECASE
)
"""What PyTorch says of a size; "cannot be converted without overflow" is about a number."""


def check(config: TaskConfig, **sizes: int) -> None:
    """Raise :class:`UserError` if the training cannot fit into memory; it names the field to lower.

    Args:
        config: what is to be trained.
        **sizes: of a text, see :func:`..registry.build_model`.
    """
    here = _machine_memory()
    needed = required(config, **sizes)
    if needed <= here:
        return
    declared = options(type(config))
    smaller: dict[str, float] = {}
    for name in SIZES:
        value, usual = getattr(config, name, None), name in declared and declared[name].default
        if value is not None and value > (usual or 1):
            change: dict[str, Any] = {name: usual}
            try:
                smaller[name] = required(replace(config, **change), **sizes)
            except (UserError, ValueError):  # it needs another field to change as well
                continue
    name = min(smaller, key=lambda name: smaller[name], default="model")
    amount = "more than can be addressed" if math.isinf(needed) else f"at least {_size(needed)}"
    raise UserError(
        f"{name}: {getattr(config, name)} does not fit into memory: the training needs {amount}, "
        f"this machine has {_size(here)}; make it smaller"
    )


def required(config: TaskConfig, **sizes: int) -> float:
    """A lower bound of the memory that training needs, in bytes; infinite above what is countable.

    Counted are the weights with their gradients, the optimizer's state and the averaged weights;
    the outputs of the core and the attention of one step; and the generated examples.
    """
    try:
        with torch.device("meta"):  # shapes only
            model = build_model(config, **sizes)
    except (RuntimeError, TypeError, OverflowError) as error:
        if not EXHAUSTED.search(str(error)):
            raise
        return math.inf
    moments = {"sgd": int(config.momentum > 0), "muon": 1}.get(config.optimizer, 2)
    copies = 2 + moments + (config.averaging != "none")
    weights = copies * sum(parameter.numel() for parameter in model.parameters())
    examples = (config.micro_batch_size or config.batch_size) // config.devices
    total = FLOAT * (weights + examples * _activations(config))
    if is_generated(config) and isinstance(config, GeneratedConfig):
        most = max(config.batch_size, config.valid_examples, config.test_examples)
        total += most * _example(config)
    return total


def _activations(config: TaskConfig) -> int:
    """Numbers that one example needs, at least: the outputs of all steps, the attention of one."""
    steps: int = getattr(config, "bptt", 1)
    if config.model != "rmc":
        return config.num_layers * steps * (config.hidden_size or 1)
    outputs = steps * config.mem_slots * config.num_heads * config.head_size
    attended = config.mem_slots * config.num_heads * (config.mem_slots + config.input_rows)
    return config.num_layers * outputs + attended  # the other steps' may be computed again


def _example(config: GeneratedConfig) -> int:
    """Bytes of a generated example, at least."""
    objects, features = getattr(config, "objects", 0), getattr(config, "features", 0)
    return FLOAT * (objects * (features + objects) + getattr(config, "length", 0))


@contextmanager
def reporting_exhaustion(where: object) -> Iterator[None]:
    """Turn an allocation that failed into a :class:`UserError`.

    Args:
        where: what the message begins with.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not EXHAUSTED.search(str(error)):
            raise
        raise UserError(
            f"{where}: does not fit into memory; make batch_size, eval_batch_size or the sizes of "
            "the model smaller"
        ) from error


def _machine_memory() -> float:
    """Bytes of memory of this machine, with that of its GPUs; infinite if it is not known."""
    try:
        host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf
    devices = range(torch.cuda.device_count())
    return host + sum(torch.cuda.get_device_properties(each).total_memory for each in devices)


def _size(number: float) -> str:
    """A number of bytes for people."""
    unit = min(6, int(math.log(max(number, 1), 1000)))
    return f"{number / 1000**unit:,.3g} {['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'][unit]}"
