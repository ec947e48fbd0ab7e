"""Customers' addresses, as the customers' topic says them."""

from collections.abc import Sequence
from uuid import UUID

from common.database import Transaction
from common.message import StateRecord

from notification_service.messages import CustomerChanged


async def save_customers(tx: Transaction, records: Sequence[StateRecord]) -> None:
    """Keep what is newer; an erased customer's version stays, and nothing else of them."""
    newest = {UUID(record.key): record for record in sorted(records, key=_version)}
    ordered = sorted(newest)
    known = [newest[customer_id].event for customer_id in ordered]
    people = [each if isinstance(each, CustomerChanged) else None for each in known]
    await tx.execute(
        """
        INSERT INTO customers AS c (customer_id, version, email, name, language)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
            ON CONFLICT (customer_id) DO UPDATE
           SET version = excluded.version, email = excluded.email, name = excluded.name,
               language = excluded.language
         WHERE c.version < excluded.version
        """,
        ordered,
        [newest[customer_id].version for customer_id in ordered],
        [person.email if person else None for person in people],
        [person.name if person else None for person in people],
        [person.language if person else "en" for person in people],
    )


def _version(record: StateRecord) -> int:
    return record.version
