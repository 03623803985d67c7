"""Settings for all tests."""

import os
import signal

from hypothesis import settings

# The first example of a property pays for imports and caches; a deadline would punish it.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell script ignores SIGINT in its background commands; the tests of signals need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
