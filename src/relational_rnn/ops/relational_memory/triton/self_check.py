"""Compare the Triton path with the reference on the device itself, before ``"auto"`` uses it.

Once per process and configuration: a forward and a backward pass over two short random sequences,
with the very kernels that the configuration compiles to.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf, isfinite, isnan
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from .. import reference
from ..parameters import Options, Parameters
from . import recurrence
from .buffers import Sizes

BATCH = 2
STEPS = 3
"""A first, a middle and a last step: the kernels differ between them."""
RUNS_ON_CUDA = 2
"""The first launches kernel by kernel, the second captures a CUDA graph and replays it."""
SMALL = 1e-2
"""Root mean square below which the error of a tensor is absolute; gradients may be zero."""
MARGIN = 8.0
"""Largest error allowed, in errors of the reference in the same precision."""
ALWAYS_ALLOWED = {
    torch.float64: 1e-9,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}
"""Error allowed in any case, by product dtype: the reference's own may be zero by chance."""


Unroll = Callable[[Tensor, Tensor, Parameters, Options], tuple[Tensor, Tensor]]


class Configuration(NamedTuple):
    """What a verdict holds for: kernels depend on neither the number of steps nor of sequences."""

    sizes: Sizes  # with the steps and the batch of the check
    options: Options
    input_size: int


_verdicts: dict[Configuration, bool] = {}
_lock = Lock()


def passes(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> bool:
    """Whether the Triton path agrees with the reference here; arguments as in `reference.unroll`.

    The verdict is remembered, and a failure reported in one warning. During the capture of a CUDA
    graph and inside of a backward pass no check is made: without a verdict the answer is no.
    """
    sizes = recurrence.sizes_of(inputs, memory, p, o)._replace(steps=STEPS, batch=BATCH)
    configuration = Configuration(sizes, o, inputs.shape[-1])
    verdict = _verdicts.get(configuration)
    # before the lock: a thread of autograd must not wait for a check that needs it
    if verdict is not None or _capturing(sizes.device) or _in_backward():
        return bool(verdict)
    with _lock:
        if configuration not in _verdicts:
            fault = find_fault(configuration)
            _verdicts[configuration] = fault is None
            if fault is not None:
                warnings.warn(
                    f"backend 'auto': the Triton path fails its check on {sizes.device} and the "
                    f"fused loop is used instead: {fault}; please report it with {o} and {sizes}",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return _verdicts[configuration]


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _in_backward() -> bool:
    # internal to PyTorch, hence the default
    task = getattr(torch._C, "_current_graph_task_id", lambda: -1)
    return bool(task() != -1)


def find_fault(configuration: Configuration) -> str | None:
    """Make the check: what is wrong, or None.

    It runs in a thread of its own. There grad mode, autocast, inference mode, saved-tensor hooks
    and dispatch modes have their defaults, and the caller's are not touched.
    """
    with ThreadPoolExecutor(1) as executor:
        try:
            errors = executor.submit(measure, configuration).result()
        except Exception as error:  # whatever the compiler, the driver or a kernel raises
            first_line = next(iter(str(error).splitlines()), "")
            return f"{type(error).__name__}: {first_line}"
    if not all(map(isfinite, errors.usual.values())):
        return f"the reference is not finite in {configuration.sizes.product}"
    name = max(errors.found, key=errors.found.__getitem__)
    worst, allowed = errors.found[name], errors.allowed(configuration.sizes.product)
    if worst <= allowed:
        return None
    return f"the relative error of {name} is {worst:.2g}, allowed is {allowed:.2g}"


class Errors(NamedTuple):
    """Errors of outputs and gradients by name, each relative to the reference in float64."""

    found: dict[str, float]  # of the Triton path
    usual: dict[str, float]  # of the reference in the same precision on the same device

    def allowed(self, product: torch.dtype) -> float:
        """The largest error that rounding may cause, of any of them.

        Rounding affects the two implementations alike, whatever the sizes, and whether or not
        float32 products are made in TF32; `MARGIN` is for its randomness. A wrong kernel errs by
        the size of the result itself.
        """
        return max(MARGIN * max(self.usual.values()), ALWAYS_ALLOWED[product])


def measure(configuration: Configuration) -> Errors:
    """Run the check on the device of the configuration."""
    sizes, o, _ = configuration
    tensors, cotangents = draw_problem(configuration)

    def run(unroll: Unroll, product: torch.dtype, state: torch.dtype) -> dict[str, Tensor]:
        given = {name: x.to(sizes.device, state).requires_grad_() for name, x in tensors.items()}
        p = Parameters(*map(given.get, Parameters._fields))  # type: ignore[arg-type]
        outputs = unroll(given["inputs"].to(product), given["memory"], p, o)
        gradients = torch.autograd.grad(
            outputs, list(given.values()), [x.to(sizes.device, state) for x in cotangents]
        )
        names = ["memories", "last memory", *(f"the gradient of {name}" for name in given)]
        return {name: x.detach() for name, x in zip(names, (*outputs, *gradients), strict=True)}

    exact = run(reference.unroll, torch.float64, torch.float64)

    def errors(found: dict[str, Tensor]) -> dict[str, float]:
        return {name: relative_error(found[name], x) for name, x in exact.items()}

    low = sizes.product in (torch.bfloat16, torch.float16)
    dtype = torch.float32 if low else sizes.product
    with torch.autocast(sizes.device.type, sizes.product if low else None, enabled=low):
        usual = errors(run(reference.unroll, dtype, dtype))
    runs = [
        errors(run(recurrence.unroll, sizes.product, sizes.state))
        for _ in range(RUNS_ON_CUDA if sizes.device.type == "cuda" else 1)
    ]
    return Errors({name: max(one[name] for one in runs) for name in exact}, usual)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected; infinite if not a number."""
    floor = SMALL * expected.numel() ** 0.5
    error = float((found.double() - expected).norm() / (expected.norm() + floor))
    return inf if isnan(error) else error


def draw_problem(configuration: Configuration) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Random inputs, memory and parameters by name, and gradients of the outputs.

    float64 on the CPU, from a generator of its own. Inputs and parameters are rounded to the
    product dtype, so that only the computation differs, not what is computed.
    """
    s, o, input_size = configuration
    m, f, gates = s.memory_width, s.qkv_width, 2 * s.gates
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, scale: float = 1.0, centre: float = 0.0) -> Tensor:
        x = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
        return (x * scale + centre).to(s.product).double()

    def layer(*shape: int) -> Tensor:
        return draw(*shape, scale=shape[-1] ** -0.5)

    def gain(*shape: int) -> Tensor:
        return draw(*shape, scale=0.1, centre=1.0)

    def bias(*shape: int) -> Tensor:
        return draw(*shape, scale=0.1)

    tensors = {
        "inputs": draw(s.steps, s.batch, s.extra, input_size),
        "memory": draw(s.batch, s.slots, m),
        "projection_weight": layer(m, input_size),
        "projection_bias": bias(m),
        "qkv_weight": layer(1, f, m),
        "qkv_bias": bias(1, f),
        "qkv_norm_weight": gain(1, f),
        "qkv_norm_bias": bias(1, f),
        "attention_norm_weight": gain(1, m),
        "attention_norm_bias": bias(1, m),
        # No ReLU is near zero, where rounding would flip it and change gradients by a lot.
        "mlp_weight": 0.25 * layer(s.layers, m, m),
        "mlp_bias": 2.0 * draw(s.layers, m).sign(),
        "mlp_norm_weight": gain(1, m),
        "mlp_norm_bias": bias(1, m),
    }
    if gates:
        tensors |= {
            "gate_input_weight": layer(
                gates, s.extra * (input_size if o.gate_inputs == "raw" else m)
            ),
            "gate_input_bias": bias(gates),
            "gate_memory_weight": layer(gates, m),
            "gate_memory_bias": bias(gates),
        }
    return tensors, [draw(s.steps, s.batch, s.slots, m), draw(s.batch, s.slots, m)]
