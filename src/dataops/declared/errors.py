"""Errors by who can act on them; each says what, how much, where to look and what to run next.

The command line turns them into exit codes, Airflow into retries: only `PlatformError` is worth a retry.
"""


class DataopsError(Exception):
    """Base of every error a user is meant to read; `exit_code` is the process' answer."""

    exit_code = 3


class DataRejected(DataopsError):
    """The data cannot be accepted as it is: the owner of the data can act."""

    exit_code = 1


class DeclarationError(DataopsError):
    """A file, an option or a setting is wrong: its author can act."""

    exit_code = 2


class PlatformError(DataopsError):
    """Infrastructure failed (connection, disk, lock); safe to run again. The only kind that is retried."""

    exit_code = 3


class VerdictError(DataopsError):
    """Something could not be judged: nothing was published and nothing was rejected."""

    exit_code = 3
