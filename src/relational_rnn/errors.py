"""The exception for mistakes of the user."""


class UserError(Exception):
    """A mistake of the user; its message is one line: ``WHERE: WHAT is wrong; WHAT to do``.

    The command line prints the line on stderr and exits with code 2.
    """
