"""Settings for all tests."""

import os

from hypothesis import settings

# The first example of a property pays for imports and caches; a deadline would punish it.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
