"""Compile the native CPU core ahead of its first use.

Without --output the library goes to the cache, where the package finds it. With --output it can be
copied into a container that has no compiler; RRNN_NATIVE_LIBRARY names it there. The compiler is
CXX, else c++, g++ or clang++. RRNN_NATIVE_FLAGS adds flags: -march=x86-64-v3 for other CPUs.
"""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from . import print_json


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--output", type=Path, help="also copy the library to this file")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one line of JSON at the end"
    )


def run(arguments: Namespace) -> None:
    """Compile, unless that has been done, and print the path."""
    build = _build()
    try:
        path = build.build()
    except build.BuildError as error:
        raise UserError(str(error)) from error
    if arguments.output is not None:
        temporary = arguments.output.with_name(f"{arguments.output.name}.tmp")
        shutil.copyfile(path, temporary)
        temporary.chmod(0o755)
        path = temporary.replace(arguments.output)
    print(path)
    if arguments.json:
        print_json({"library": str(path)})


def _build() -> ModuleType:
    """The module `native.build`, alone: the packages around it import PyTorch."""
    path = Path(__file__).parents[1] / "ops" / "relational_memory" / "native" / "build.py"
    spec = importlib.util.spec_from_file_location("relational_rnn_native_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
