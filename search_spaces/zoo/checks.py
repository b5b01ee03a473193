"""Checks of the numbers that a network of the zoo is made from."""

from search_spaces.errors import NetworkError


def check_factor(name: str, value: float) -> None:
    """Raise NetworkError unless a width factor is a number above 0 and at most 1024."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1024:
        raise NetworkError(f"{name} must be a number above 0, at most 1024, but got {name}={value!r}")


def check_count(name: str, value: int, *, most: int) -> None:
    """Raise NetworkError unless a count is an integer from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise NetworkError(f"{name} must be an integer from 1 to {most}, but got {name}={value!r}")


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise NetworkError unless a setting is one of its choices."""
    if value not in choices:
        raise NetworkError(f"{name} must be one of {', '.join(map(str, choices))}, but got {name}={value!r}")


def check_widths(widths: tuple[int, ...], *, number: int) -> None:
    """Raise NetworkError unless there are exactly so many widths, all of them positive integers."""
    if len(widths) != number or any(type(width) is not int or width < 1 for width in widths):
        got = "-".join(map(str, widths))
        raise NetworkError(f"widths must be {number} integers of at least 1, but got {len(widths)}: widths={got}")
