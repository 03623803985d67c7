"""The layout holds: imports point one way, the command starts without torch."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import relational_rnn

ROOT = Path(relational_rnn.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMES = {
    ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in FILES
}

# Each room may import from the rows above its own, never from its own row or below.
ROWS = [
    {"allocator", "configs", "errors", "ops", "printable", "provenance", "signals"},
    {"processes", "progress_bar"},
    {"device", "files", "progress"},
    {"config", "lock", "nn", "run_digests", "weights"},
    {"models", "tasks", "threads"},
    {"runs"},
    {"causal_lm", "generate", "onnx_export", "registry"},
    {"equal_size", "evaluate", "inspection"},
    {"report", "train"},
    {"bench", "pretrained", "show", "sweep"},
    {"compare"},
    {"cli"},
    {"__main__"},
]
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
OPTIONAL = ("starlette", "triton", "uvicorn")  # packages that some modules import when loaded
LIGHT = (
    "cli",
    "config",
    "equal_size",
    "errors",
    "registry",
    "runs",
)  # what `rrnn --help` and bad input run through


def room(module: str) -> str:
    """The first part of a module's name below the package; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imports(module: str, *, when_loaded: bool = False) -> Iterator[str]:
    """Yield the full names of the modules that ``module`` imports.

    ``when_loaded`` leaves out imports inside functions and those for the type checker only.
    """
    path = NAMES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _import_statements(ast.parse(path.read_text(encoding="utf-8")), when_loaded):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            continue
        base = node.module or ""
        if node.level:
            anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*anchor, *([base] if base else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in NAMES else base


def _import_statements(node: ast.AST, when_loaded: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif when_loaded and (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        ):
            continue
        else:
            yield from _import_statements(child, when_loaded)


def ours(names: Iterator[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == ROOT.name}


def loaded_with(module: str) -> dict[str, set[str]]:
    """Map every module of ours that importing ``module`` runs to all that it imports."""
    found: dict[str, set[str]] = {}
    pending = {module}
    while pending:
        name = pending.pop()
        found[name] = set(imports(name, when_loaded=True))
        parents = {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}
        pending |= (ours(iter(found[name])) | parents) - found.keys()
    return found


@pytest.mark.parametrize("module", sorted(NAMES))
def test_arrows_point_one_way(module):
    here = room(module)
    if not here:
        return
    assert here in ROW, f"say in ROWS where {here} stands"
    for name in ours(imports(module)):
        there = room(name)
        assert there == here or not there or ROW[there] < ROW[here], f"{module} imports {name}"


def test_ops_import_nothing_of_ours():
    for module in NAMES:
        if room(module) == "ops":
            assert {room(name) for name in ours(imports(module))} <= {"ops"}, module


def test_lightning_stays_in_train():
    engines = {"lightning", "pytorch_lightning"}
    users = {
        room(module)
        for module in NAMES
        if engines & {name.split(".")[0] for name in imports(module)}
    }
    assert users <= {"train"}


def test_inside_the_package_imports_are_relative():
    for module, path in NAMES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _import_statements(tree, when_loaded=False):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").split(".")[0] != ROOT.name, module
            elif isinstance(node, ast.Import):
                assert ROOT.name not in {alias.name.split(".")[0] for alias in node.names}, module


@pytest.mark.parametrize("module", [name for name in sorted(NAMES) if room(name) in LIGHT])
def test_the_command_loads_without_torch(module):
    for loaded, names in loaded_with(module).items():
        heavy = {name.split(".")[0] for name in names} & {"torch", "lightning", "matplotlib"}
        assert not heavy, f"{module} loads {loaded}, which imports {heavy}"


def test_the_command_really_loads_without_torch():
    code = (
        "import sys, relational_rnn.cli; print(sorted({'torch', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_loads_without_the_compiler():
    code = """
import sys, torch
before = "torch._dynamo" in sys.modules
import relational_rnn.nn
sys.exit(before != ("torch._dynamo" in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_module_imports(module):
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"the package {error.name!r} is not installed")
