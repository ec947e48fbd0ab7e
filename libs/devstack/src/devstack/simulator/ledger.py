"""The gateway's own memory: a SQLite file that a checker may read while the gateway runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from devstack.simulator.intents import Intent, Refund

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    id text PRIMARY KEY, created integer NOT NULL, amount integer NOT NULL, currency text NOT NULL,
    payment_method text, metadata json NOT NULL, status text NOT NULL,
    amount_capturable integer NOT NULL, amount_received integer NOT NULL,
    decline_code text, cancellation_reason text);
CREATE INDEX IF NOT EXISTS intents_created ON intents (created);
CREATE TABLE IF NOT EXISTS refunds (
    id text PRIMARY KEY, created integer NOT NULL,
    intent_id text NOT NULL REFERENCES intents (id), amount integer NOT NULL,
    currency text NOT NULL, metadata json NOT NULL, status text NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_intent ON refunds (intent_id);
CREATE TABLE IF NOT EXISTS effects (
    seq integer PRIMARY KEY, at real NOT NULL, intent_id text NOT NULL, kind text NOT NULL,
    amount integer NOT NULL, order_id text, idempotency_key text);
CREATE TABLE IF NOT EXISTS keys (
    key text PRIMARY KEY, fingerprint text NOT NULL, status integer NOT NULL, body text NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    seq integer PRIMARY KEY, at real NOT NULL, event_id text NOT NULL, type text NOT NULL,
    manner text NOT NULL, status integer NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
    subject text PRIMARY KEY, number integer NOT NULL);
"""
_INTENT = ", ".join(column.name for column in fields(Intent))
_REFUND = ", ".join(column.name for column in fields(Refund))


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that belongs to an idempotency key."""

    fingerprint: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted: Stripe's paging, newest first."""

    limit: int
    starting_after: str | None
    created_from: int
    created_to: int


class Ledger:
    """Everything the gateway knows; one writer."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        # A power cut may lose the tail, never this process' end: enough for a simulator.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._writing: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing; it lasts once `written` has returned.

        One commit serves all who come at the same moment: it costs more than what they do.
        """
        if self._writing is None:
            self._db.execute("BEGIN IMMEDIATE")
            self._writing = asyncio.create_task(self._write())
        self._db.execute("SAVEPOINT one")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO one")
            raise
        finally:
            self._db.execute("RELEASE one")

    async def written(self) -> None:
        """Wait until all that was done is committed."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        self._writing = None
        try:
            self._db.commit()
        except sqlite3.Error:
            self._db.rollback()  # else it stays open, and none can begin
            raise

    def find_intent(self, identity: str) -> Intent | None:
        """Look an intent up."""
        query = f"SELECT {_INTENT} FROM intents WHERE id = ?"  # noqa: S608  our own column names
        row = self._db.execute(query, (identity,)).fetchone()
        return _intent(row) if row else None

    def list_intents(self, window: Window) -> list[Intent]:
        """List intents, newest first, and one more than wanted when there are more."""
        query = (
            f"SELECT {_INTENT} FROM intents WHERE created BETWEEN ? AND ? AND rowid <"  # noqa: S608
            " coalesce((SELECT rowid FROM intents WHERE id = ?), 9223372036854775807)"
            " ORDER BY rowid DESC LIMIT ?"
        )
        rows = self._db.execute(query, _bounds(window))
        return [_intent(row) for row in rows]

    def save_intent(self, intent: Intent) -> None:
        """Add an intent, or overwrite what changes in its life."""
        self._db.execute(
            f"INSERT INTO intents ({_INTENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status,"
            " amount_capturable = excluded.amount_capturable,"
            " amount_received = excluded.amount_received, metadata = excluded.metadata,"
            " cancellation_reason = excluded.cancellation_reason",
            _row(intent),
        )

    def find_refund(self, identity: str) -> Refund | None:
        """Look a refund up."""
        query = f"SELECT {_REFUND} FROM refunds WHERE id = ?"  # noqa: S608  our own column names
        row = self._db.execute(query, (identity,)).fetchone()
        return _refund(row) if row else None

    def list_refunds(self, window: Window, intent_id: str | None) -> list[Refund]:
        """List refunds, of one intent or all, as list_intents does."""
        query = (
            f"SELECT {_REFUND} FROM refunds WHERE created BETWEEN ? AND ? AND rowid <"  # noqa: S608
            " coalesce((SELECT rowid FROM refunds WHERE id = ?), 9223372036854775807)"
            " AND intent_id = coalesce(?, intent_id) ORDER BY rowid DESC LIMIT ?"
        )
        *place, limit = _bounds(window)
        rows = self._db.execute(query, (*place, intent_id, limit))
        return [_refund(row) for row in rows]

    def add_refund(self, refund: Refund) -> None:
        """Add a refund."""
        self._db.execute(
            f"INSERT INTO refunds ({_REFUND}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            _row(refund),
        )

    def refunded(self, intent_id: str) -> int:
        """Add up what was given back."""
        query = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE intent_id = ?"
        total: int = self._db.execute(query, (intent_id,)).fetchone()[0]
        return total

    def record_effect(self, intent: Intent, kind: str, amount: int, key: str | None) -> None:
        """Write down that money moved, for whoever checks later."""
        self._db.execute(
            "INSERT INTO effects (at, intent_id, kind, amount, order_id, idempotency_key)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (time.time(), intent.id, kind, amount, intent.metadata.get("order_id"), key),
        )

    def note_delivery(self, event_id: str, kind: str, manner: str, status: int) -> None:
        """Write down how a webhook was answered; 0 stands for no answer."""
        self._db.execute(
            "INSERT INTO deliveries (at, event_id, type, manner, status) VALUES (?, ?, ?, ?, ?)",
            (time.time(), event_id, kind, manner, status),
        )

    def find_answer(self, key: str) -> Stored | None:
        """Look up what was answered under a key."""
        query = "SELECT fingerprint, status, body FROM keys WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        return Stored(*row) if row else None

    def store_answer(self, key: str, answer: Stored) -> None:
        """Keep an answer for every repetition of its request."""
        row = (key, answer.fingerprint, answer.status, answer.body)
        self._db.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", row)

    def count_attempt(self, subject: str) -> int:
        """Return the how-manieth attempt on that subject this is, from 1."""
        query = (
            "INSERT INTO attempts VALUES (?, 1)"
            " ON CONFLICT (subject) DO UPDATE SET number = number + 1 RETURNING number"
        )
        number: int = self._db.execute(query, (subject,)).fetchone()[0]
        return number


def _bounds(window: Window) -> tuple[Any, ...]:
    return window.created_from, window.created_to, window.starting_after, window.limit + 1


def _row(value: Intent | Refund) -> list[Any]:
    columns = (getattr(value, column.name) for column in fields(value))
    return [json.dumps(column) if isinstance(column, dict) else column for column in columns]


def _intent(row: tuple[Any, ...]) -> Intent:
    return Intent(**_values(_INTENT, row))


def _refund(row: tuple[Any, ...]) -> Refund:
    return Refund(**_values(_REFUND, row))


def _values(columns: str, row: tuple[Any, ...]) -> dict[str, Any]:
    values = dict(zip(columns.split(", "), row, strict=True))
    return values | {"metadata": json.loads(values["metadata"])}
