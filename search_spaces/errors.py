"""Errors that a user can mend. The command line prints them as one line and exits with status 2."""

from typing import ClassVar, Literal

Retry = Literal["never", "later", "elsewhere"]


class NasError(Exception):
    """Bad input or a broken rule: the message says the rule, the value and the way out, in one line.

    `retry` says whether a queue should run the same search again: never, as it would fail again; later; or elsewhere,
    as this machine lacks something.
    """

    retry: ClassVar[Retry] = "never"


class NetworkError(NasError, ValueError):
    """A network that cannot exist, or an edit that a network does not allow."""


class BudgetError(NasError, ValueError):
    """A bound that is not a positive number, or a budget that no network meets."""


class FitError(NasError, ValueError):
    """Recorded widths that no power law can be fitted to."""


def one_line(text: object) -> str:
    """What an error, or a file from elsewhere, says: in one line, and without what would steer a terminal."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)
