"""The Triton kernels where there is no GPU: interpreted on the CPU, and compiled without running.

Triton decides between interpreter and compiler when it is imported, hence a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from relational_rnn.ops.relational_memory import relational_memory

KERNELS = ("attend", "attend_backward", "norm_backward", "gate_update", "gate_update_backward")
PUBLISHED = {
    "steps": 2,
    "batch": 2,
    "slots": 1,
    "extra": 1,
    "heads": 4,
    "key": 64,
    "head": 192,
    "layers": 3,
    "gates": 768,
    "product": torch.bfloat16,
    "state": torch.float32,
}


@pytest.mark.timeout(300)  # interpreted: slow on a busy machine
@pytest.mark.parametrize("name", ["test_triton_cases.py", "test_triton_self_check.py"])
def test_cases_pass_in_the_interpreter(name: str) -> None:
    pytest.importorskip("triton", reason="the package 'triton' is not installed")
    cases = Path(__file__).with_name(name)
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(cases)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


class Compiler:
    """Stands in for a kernel: compiles what would have been launched."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.binaries: list[bytes] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return self.compile

    def compile(self, *tensors: torch.Tensor, num_warps: int, **constants: Any) -> None:
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, compile

        short = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}
        names = self.kernel.arg_names[: len(tensors)]
        signature = {n: f"*{short[x.dtype]}" for n, x in zip(names, tensors, strict=True)}
        signature |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(self.kernel, signature, constants)
        hopper = GPUTarget("cuda", 90, 32)
        compiled = compile(source, target=hopper, options={"num_warps": num_warps})
        self.binaries.append(compiled.asm["cubin"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="published size"),
        pytest.param(
            {"slots": 4, "gates": 1, "product": torch.float32},
            id="several slots, memory gate",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"slots": 2, "gates": 0, "product": torch.float64, "state": torch.float64},
            id="no gate, float64",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_kernels_compile_for_a_gpu(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("triton", reason="the package 'triton' is not installed")
    from relational_rnn.ops.relational_memory.triton import loop
    from relational_rnn.ops.relational_memory.triton.buffers import Buffers, Sizes

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compilers = {name: Compiler(getattr(loop, name)) for name in KERNELS}
    for name, compiler in compilers.items():
        monkeypatch.setattr(loop, name, compiler)
    sizes = Sizes(**{**PUBLISHED, **change}, device=torch.device("cpu"))
    buffers = Buffers.allocate(sizes, keep_tape=True)
    loop.forward(buffers)
    loop.backward(buffers)
    for compiler in compilers.values():
        assert len(compiler.binaries) == sizes.steps
        assert all(binary.startswith(b"\x7fELF") for binary in compiler.binaries)


def test_forced_without_a_gpu_raises_with_the_reason(problem: Any) -> None:
    with pytest.raises(ValueError, match=r"backend 'triton' cannot run: .* CUDA device"):
        relational_memory(*problem()[:4], backend="triton")
