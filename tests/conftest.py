"""Settings for all tests."""

import contextlib
import os
import signal

from hypothesis import settings

from relational_rnn.ops.relational_memory.native import build
from relational_rnn.ops.relational_memory.native.build import BuildError

# The first example of a property pays for imports and caches; a deadline would punish it.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell script ignores SIGINT in its background commands; the tests of signals need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One library for all tests and their processes, not one for the cache folder of each.
with contextlib.suppress(BuildError, OSError):
    os.environ.setdefault("RRNN_NATIVE_LIBRARY", str(build.build()))
