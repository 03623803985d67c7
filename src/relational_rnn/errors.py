"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A mistake of the user, told in one line: what is wrong, where, and what would be right.

    The command line prints the line on stderr and exits with code 2.
    """
