"""Our own copy of the catalogue, kept by what inventory says of its products."""

from __future__ import annotations

from collections.abc import Sequence

from common.database import Transaction
from common.message import StateRecord

from order_service.messages import ProductChanged


async def save_products(tx: Transaction, records: Sequence[StateRecord]) -> None:
    """Take what is newer than what we have; a removed product's version is remembered."""
    ordered = sorted(records, key=lambda record: record.key)
    products = [_product(record) for record in ordered]
    await tx.execute(
        """
        INSERT INTO products AS p (sku, name, price, currency, active, available, version,
                                   removed_at)
        SELECT n.sku, n.name, n.price, n.currency, coalesce(n.active, false), n.available,
               n.version, CASE WHEN n.name IS NULL THEN now() END
          FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bool[],
                      $7::text[])
               AS n (sku, version, name, price, currency, active, available)
            ON CONFLICT (sku) DO UPDATE
           SET name = excluded.name, price = excluded.price, currency = excluded.currency,
               active = excluded.active, available = excluded.available,
               version = excluded.version, removed_at = excluded.removed_at
         WHERE p.version < excluded.version
        """,
        [record.key for record in ordered],
        [record.version for record in ordered],
        [product and product.name for product in products],
        [product and product.price.amount for product in products],
        [product and product.price.currency for product in products],
        [product and product.active for product in products],
        [product and product.availability for product in products],
    )


def _product(record: StateRecord) -> ProductChanged | None:
    """Read the product; nothing means that it was removed."""
    return record.event if isinstance(record.event, ProductChanged) else None
