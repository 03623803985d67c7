"""Entry point of the command ``rrnn``, and of ``python -m relational_rnn``."""

try:
    import signal
    import sys

    from .signals import exiting_at_once
except KeyboardInterrupt:  # Ctrl-C before a handler is installed
    import os

    os.write(2, b"interrupted\n")
    os._exit(130)


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
