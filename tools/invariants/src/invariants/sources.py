"""Where the checker reads: database, topics, gateway's ledger, mail folder, client's log."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

STACK_FILE = Path(".local/stack.env")
"""What `make dev` writes; the process's own environment wins over it."""


class SourceError(Exception):
    """A source is not named or can not be read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses of everything that is compared."""

    database_url: str
    kafka: str
    ledger: Path
    mail: Path
    topic_prefix: str = ""
    client_log: Path | None = None

    @classmethod
    def from_environment(cls, given: Mapping[str, str]) -> "Sources":
        """Read the addresses; raises SourceError that names what is missing."""
        log = given.get("CLIENT_LOG")
        return cls(
            database_url=_required(given, "DATABASE_URL"),
            kafka=_required(given, "KAFKA_BOOTSTRAP_SERVERS"),
            ledger=_existing(given, "GATEWAY_LEDGER"),
            mail=_existing(given, "MAIL_DIR"),
            topic_prefix=given.get("TOPIC_PREFIX", ""),
            client_log=Path(log) if log else None,
        )


def environment(stack_file: Path = STACK_FILE) -> dict[str, str]:
    """Return what the stack's file says, overridden by the process's environment."""
    lines = stack_file.read_text().splitlines() if stack_file.is_file() else []
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name: " ".join(shlex.split(value)) for name, _, value in pairs} | dict(os.environ)


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if not value:
        message = f"{name} is not set: start the stack with `make dev`, or set it"
        raise SourceError(message)
    return value


def _existing(given: Mapping[str, str], name: str) -> Path:
    path = Path(_required(given, name))
    if not path.exists():
        message = f"{name} names {path}, which does not exist"
        raise SourceError(message)
    return path


async def connect(dsn: str) -> Connection:
    """Log in to the database; raises SourceError when none answers."""
    try:
        return await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError) as error:
        # the address may hold a password, so it is not repeated
        message = f"DATABASE_URL: no database answers there ({type(error).__name__}: {error})"
        raise SourceError(message) from error
