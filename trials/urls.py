"""Database URLs as text: without their passwords, for whoever shows or keeps them. No SQLAlchemy: specs need little."""

import re

# A user may hold an @ and so may a wrongly written password: all up to the last @ is taken for it.
_PASSWORD = re.compile(r"(?<=://)([^:/\s'\"]*):[^\n]*@")
_IN_QUERY = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&\s'\"]*", re.IGNORECASE)


def hide_passwords(text: str) -> str:
    """Any text with the passwords of all URLs in it replaced by ***."""
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def drop_passwords(url: str) -> str:
    """A URL without its password, which libpq then takes from elsewhere (PGPASSWORD, ~/.pgpass)."""
    bare = _IN_QUERY.sub("", _PASSWORD.sub(r"\1@", url))
    return re.sub(r"[?&]$", "", re.sub(r"(?<=[?&])&+", "", bare))


def has_password(url: str) -> bool:
    """Whether there is a password in it."""
    return drop_passwords(url) != url
