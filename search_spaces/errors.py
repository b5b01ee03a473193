"""Errors that a user can mend. The command line prints them as one line and exits with their status, mostly 2."""

import re
from typing import ClassVar, Literal

Retry = Literal["never", "later", "elsewhere"]
LONGEST_LINE = 2500  # letters; all classifiers of torchvision, named where there is none of a name, are 1,700

_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]+@")


class NasError(Exception):
    """Bad input or a broken rule: the message says the rule, the value and the way out, in one line.

    `retry` says whether a queue should run the same search again: never, as it would fail again; later; or elsewhere,
    as this machine lacks something.
    """

    retry: ClassVar[Retry] = "never"

    exit_status: ClassVar[int] = 2


class NetworkError(NasError, ValueError):
    """A network that cannot exist, or an edit that a network does not allow."""


class BudgetError(NasError, ValueError):
    """A bound that is not a positive number, or a budget that no network meets."""


class FitError(NasError, ValueError):
    """Recorded widths that no power law can be fitted to."""


def one_line(text: object) -> str:
    """What an error or a file says: in one line, of some length, without passwords, or what would steer a terminal."""
    line = _PASSWORD.sub(r"\1:***@", " ".join(str(text).split()))
    if len(line) > LONGEST_LINE:  # a value from a file; the way out stands at the end
        line = f"{line[: LONGEST_LINE - 500]} ... {line[-495:]}"
    return "".join(letter if letter.isprintable() else "?" for letter in line)
