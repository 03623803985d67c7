"""Entry point of the command ``rrnn``, and of ``python -m relational_rnn``."""

import sys

from .signals import exiting_at_once


def main() -> int:
    """Run the command line; see :func:`.cli.main`."""
    with exiting_at_once():
        from .cli import main
    return main()


if __name__ == "__main__":
    sys.exit(main())
