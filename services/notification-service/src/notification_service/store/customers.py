"""Customers' addresses, as the customers' topic says them, and their own preferences."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from common.database import Transaction
from common.message import StateRecord

from notification_service.messages import CustomerChanged


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a customer chose; no language means the account's."""

    language: str | None
    muted: frozenset[str]


async def save_customers(tx: Transaction, records: Sequence[StateRecord]) -> list[UUID]:
    """Keep what is newer, answer who is new.

    Of an erased customer the version stays, and nothing else.
    """
    newest = {UUID(record.key): record for record in sorted(records, key=_version)}
    ordered = sorted(newest)
    known = [newest[customer_id].event for customer_id in ordered]
    people = [each if isinstance(each, CustomerChanged) else None for each in known]
    rows = await tx.fetch(
        """
        INSERT INTO customers AS c (customer_id, version, email, name, language)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
            ON CONFLICT (customer_id) DO UPDATE
           SET version = excluded.version, email = excluded.email, name = excluded.name,
               language = excluded.language
         WHERE c.version < excluded.version
        RETURNING customer_id, email IS NULL AS erased, xmax = 0 AS new
        """,
        ordered,
        [newest[customer_id].version for customer_id in ordered],
        [person.email if person else None for person in people],
        [person.name if person else None for person in people],
        [person.language if person else "en" for person in people],
    )
    erased = [row["customer_id"] for row in rows if row["erased"]]
    if erased:
        await tx.execute("DELETE FROM preferences WHERE customer_id = ANY($1::uuid[])", erased)
    return [row["customer_id"] for row in rows if row["new"] and not row["erased"]]


async def find_preferences(tx: Transaction, customer_id: UUID) -> Preferences | None:
    row = await tx.fetchrow(
        "SELECT language, muted FROM preferences WHERE customer_id = $1", customer_id
    )
    return Preferences(row["language"], frozenset(row["muted"])) if row else None


async def save_preferences(tx: Transaction, customer_id: UUID, chosen: Preferences) -> bool:
    """Keep what a customer chose, unless they are erased; answers whether it is kept.

    The customer's row is locked: an erasure comes wholly before or wholly after.
    """
    row = await tx.fetchrow(
        "SELECT email IS NULL AS erased FROM customers WHERE customer_id = $1 FOR UPDATE",
        customer_id,
    )
    if row is not None and row["erased"]:
        return False
    await tx.execute(
        """
        INSERT INTO preferences (customer_id, language, muted) VALUES ($1, $2, $3)
            ON CONFLICT (customer_id) DO UPDATE
           SET language = excluded.language, muted = excluded.muted
        """,
        customer_id,
        chosen.language,
        sorted(chosen.muted),
    )
    return True


def _version(record: StateRecord) -> int:
    return record.version
