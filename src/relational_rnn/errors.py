"""The exceptions for what the user has to mend."""


class UserError(Exception):
    """A mistake of the user; its message is one line: ``WHERE: WHAT is wrong; WHAT to do``.

    The command line prints the line on stderr and exits with code 2.
    """


class FullDiskError(UserError):
    """A full disk: with more space, the same command works."""
