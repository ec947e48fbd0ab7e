"""The same PostgreSQL server by another name: other role, other database."""

from __future__ import annotations

from urllib.parse import quote, urlsplit


def as_role(dsn: str, role: str, password: str) -> str:
    """Return the DSN of the same database for another role."""
    parts = urlsplit(dsn)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(password, safe='')}@{address}").geturl()


def address_of(dsn: str) -> str:
    """Return host, port and database, without anything secret."""
    parts = urlsplit(dsn)
    return parts.netloc.rpartition("@")[2] + parts.path


def of_database(dsn: str, name: str) -> str:
    """Return the DSN of another database for the same role."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()
