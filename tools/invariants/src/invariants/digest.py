"""A digest of all state: two that are equal say that nothing changed in between (I12)."""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from invariants.decides import SCHEMAS
from invariants.mail import read_letters
from invariants.sources import Connection, SourceError, Sources, connect

NO_STATE = frozenset(
    {
        "alembic_version",
        "breakers",
        "consumer_halts",
        "inbox",
        "ops_audit",
        "outbox",
        "parked",
        "positions",
        "replay_jobs",
    }
)
"""How messages travel and what operators did: it tells nothing about orders, goods or money."""

TABLES = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = ANY($1::text[]) AND relkind IN ('r', 'p') AND NOT relispartition
     ORDER BY 1, 2
"""
ROWS = """
    SELECT count(*) || ' ' || coalesce(md5(string_agg(row, '' ORDER BY row)), '-')
      FROM (SELECT md5(t::text) AS row FROM {table} AS t) AS rows
"""
LEDGER = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'keys' ORDER BY name"
"""The table of keys notes how requests were answered, not what they did."""


async def digest(sources: Sources) -> Mapping[str, str]:
    """Sum up every table of state, the gateway's ledger and the mailbox: its name → rows and hash.

    Raises SourceError when a source can not be read.
    """
    db = await connect(sources.database_url)
    try:
        found = await digest_tables(db)
    finally:
        await db.close()
    return found | digest_outside(sources.ledger, sources.mail)


async def digest_tables(db: Connection) -> dict[str, str]:
    """Sum up every table of state: every column counts, in no order of rows."""
    tables = await db.fetch(TABLES, list(SCHEMAS.values()))
    wanted = [(schema, table) for schema, table in tables if table not in NO_STATE]
    found = {}
    await db.execute("SET TimeZone = 'UTC'")
    for schema, table in wanted:
        found[f"{schema}.{table}"] = await db.fetchval(ROWS.format(table=f'"{schema}"."{table}"'))
    return found


def digest_outside(ledger: Path, mail: Path) -> dict[str, str]:
    """Sum up what left the system: money moved at the gateway, and messages received."""
    return {**_ledger(ledger), "mail": _mail(mail)}


def _ledger(path: Path) -> dict[str, str]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
            tables = [name for (name,) in ledger.execute(LEDGER)]
            return {f"ledger.{table}": _rows(ledger, table) for table in tables}
    except sqlite3.Error as error:
        message = f"GATEWAY_LEDGER names {path}, which is no gateway's ledger ({error})"
        raise SourceError(message) from error


def _rows(ledger: sqlite3.Connection, table: str) -> str:
    rows = ledger.execute(f'SELECT * FROM "{table}"')  # noqa: S608  the ledger's own name
    return _summed(repr(row).encode() for row in rows)


def _mail(folder: Path) -> str:
    return _summed(read_letters(folder))


def _summed(parts: Iterable[bytes]) -> str:
    hashes = sorted(hashlib.sha256(part).digest() for part in parts)
    return f"{len(hashes)} {hashlib.sha256(b''.join(hashes)).hexdigest()[:32]}"
