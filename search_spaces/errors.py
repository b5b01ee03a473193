"""Errors that a user can mend. The command line prints them as one line and exits with their status, mostly 2."""


class NasError(Exception):
    """Bad input or a broken rule: the message says the rule, the value and the way out, in one line."""

    exit_status = 2


class NetworkError(NasError, ValueError):
    """A network that cannot exist, or an edit that a network does not allow."""


class BudgetError(NasError, ValueError):
    """A bound that is not a positive number, or a budget that no network meets."""


class FitError(NasError, ValueError):
    """Recorded widths that no power law can be fitted to."""
