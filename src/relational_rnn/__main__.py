"""Entry point of the command ``rrnn``, and of ``python -m relational_rnn``."""

import signal
import sys

from .signals import exiting_at_once


def main() -> int:
    """Run the command line; see :func:`.cli.main`."""
    with exiting_at_once():
        from .cli import main
    code = main()
    # The result is reported. Another Ctrl-C ends the process at once, not with a traceback at exit.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return code


if __name__ == "__main__":
    sys.exit(main())
