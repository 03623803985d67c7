"""``python -m relational_rnn`` is the command ``rrnn``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
