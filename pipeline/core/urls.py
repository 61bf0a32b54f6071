"""Convert between SQLite files and URLs, and remove passwords from texts."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"
"""Text that replaces a password."""

_SQLITE: Final = re.compile(r"sqlite(?:\+pysqlite)?:///")
_PASSWORD: Final = re.compile(
    # A port is not a password. A password may contain an `@` or a slash that is not encoded. The
    # first alternative accepts an `@`, and the second alternative accepts a slash.
    r"(?<=//)([^\s:/?#@]*):(?!\d+(?:[/?#\s]|$))(?:[^\s/?#]*@|[^\s@]*@)"
)
_TOKEN: Final = re.compile(r"(?<=http://|ttps://)[^\s:/?#@]+@")
_SECRET_FIELD: Final = re.compile(
    r"((?:^|[?&;\s])(?:password|passwd|pwd|sslpassword|token|access_token|secret|odbc_connect)"
    r"\s*=\s*)[^&;\s'\"]+",
    re.IGNORECASE,
)
_USER: Final = re.compile(r"(?<=://)[^\s/?#]*@")


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file, with its absolute path.

    SQLAlchemy decodes `%41` and ends the path at a question mark. Therefore percent signs and
    question marks are encoded. If a URL begins with `sqlite:///`, MLflow creates the parent
    directory, but does not decode its name. Therefore a URL with encoded characters begins with
    `sqlite+pysqlite:///`.
    """
    text = str(path.absolute())
    encoded = text.replace("%", "%25").replace("?", "%3F")
    return f"{'sqlite' if encoded == text else 'sqlite+pysqlite'}:///{encoded}"


def sqlite_path(url: str) -> Path | None:
    """Return the absolute path of the file in a SQLite URL; None if the URL names no file."""
    found = _SQLITE.match(url)
    if not found:
        return None
    database = unquote(url[found.end() :].partition("?")[0])
    if database in ("", ":memory:") or database.startswith("file:"):
        return None
    return Path(database).absolute()


def absolute_url(url: str) -> str:
    """Return a URL in which the path of a SQLite file is absolute. Other URLs do not change."""
    path = sqlite_path(url)
    if path is None:
        return url
    _, mark, query = url.partition("?")
    return f"{sqlite_url(path)}{mark}{query}"


def hide_passwords(text: str) -> str:
    """Replace the passwords and tokens in a URL, or in a text that contains URLs."""
    text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    text = _TOKEN.sub(f"{HIDDEN}@", text)
    return _SECRET_FIELD.sub(rf"\1{HIDDEN}", text)


def without_user(url: str) -> str:
    """Return a URL without its user name and its password."""
    return _USER.sub("", url, count=1)
