"""Shipping addresses: apart from the orders, so that they can be forgotten alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from common.database import Transaction

from order_service.domain import Placed
from order_service.domain.addresses import Address


async def add_addresses(tx: Transaction, placed: Iterable[Placed]) -> None:
    """Insert where new orders go; those that named no address have none."""
    named = [(each.event, each.address) for each in placed if each.address]
    if not named:
        return
    await tx.execute(
        """
        INSERT INTO shipping_addresses (order_id, customer_id, name, lines, city, region,
                                        postal_code, country)
        SELECT a.order_id, a.customer_id, a.name, string_to_array(a.lines, chr(10)), a.city,
               a.region, a.postal_code, a.country
          FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::text[], $8::text[])
               AS a (order_id, customer_id, name, lines, city, region, postal_code, country)
        """,
        [event.order_id for event, _ in named],
        [event.customer_id for event, _ in named],
        [address.name for _, address in named],
        # An array of arrays can't be unnested by row, and a line holds no line end.
        ["\n".join(address.lines) for _, address in named],
        [address.city for _, address in named],
        [address.region for _, address in named],
        [address.postal_code for _, address in named],
        [address.country for _, address in named],
    )


async def find_address(tx: Transaction, order_id: UUID) -> Address | None:
    """Read where an order goes, unless it named no address, or it was forgotten."""
    row = await tx.fetchrow(
        """
        SELECT name, lines, city, country, region, postal_code
          FROM shipping_addresses WHERE order_id = $1
        """,
        order_id,
    )
    return Address(**dict(row) | {"lines": tuple(row["lines"])}) if row else None


async def remove_of(tx: Transaction, customer_ids: Sequence[UUID]) -> None:
    """Forget where all orders of these customers went."""
    await tx.execute("DELETE FROM shipping_addresses WHERE customer_id = ANY($1)", customer_ids)
