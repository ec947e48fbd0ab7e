"""Load and save of a batch's stockroom: every row locked once, in one order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg
from common.database import Transaction
from common.message import Received

from inventory_service.domain.stockroom import (
    Counts,
    HeldLine,
    Movement,
    Reservation,
    ReservationState,
    Restocked,
    Shelf,
    Stockroom,
)
from inventory_service.messages import Money, OrderPlaced, RefundRequested


async def load(tx: Transaction, batch: Sequence[Received]) -> Stockroom:
    """Lock and read what the batch needs: reservations by order id, then stock by sku."""
    events = [message.event for message in batch]
    order_ids = {UUID(event.key()) for event in events}
    reservations = await _lock_reservations(tx, sorted(order_ids))
    refund_ids = {event.refund_id for event in events if isinstance(event, RefundRequested)}
    refunds = await _known_refunds(tx, refund_ids) if refund_ids else set()
    placed = {
        line.sku for event in events if isinstance(event, OrderPlaced) for line in event.lines
    }
    held = {line.sku for each in reservations.values() for line in each.taken if line.held}
    return Stockroom(reservations, await lock_shelves(tx, placed | held), refunds)


async def save(tx: Transaction, room: Stockroom) -> None:
    """Write what the batch changed."""
    await _save_changes(tx, room)
    await _drop_lines(tx, list(room.dropped_lines()))
    await _save_restocks(tx, room.restocks)


async def lock_shelves(tx: Transaction, skus: Iterable[str]) -> dict[str, Shelf]:
    """Lock the products that exist, in the order in which everyone locks them."""
    wanted = list(skus)
    if not wanted:
        return {}
    rows = await tx.fetch(
        """
        SELECT sku, name, price, currency, active, available, reserved, sold, low_stock, version,
               allow_partial, category, deleted_at
          FROM stock WHERE sku = ANY($1::text[]) ORDER BY sku FOR UPDATE
        """,
        wanted,
    )
    return {row["sku"]: shelf_of(row) for row in rows}


def shelf_of(row: asyncpg.Record) -> Shelf:
    return Shelf(
        sku=row["sku"],
        name=row["name"],
        price=Money(amount=row["price"], currency=row["currency"]),
        active=row["active"],
        counts=Counts(row["available"], row["reserved"], row["sold"]),
        low_stock=row["low_stock"],
        version=row["version"],
        allow_partial=row["allow_partial"],
        category=row["category"],
        removed=row["deleted_at"] is not None,
    )


async def _lock_reservations(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Reservation]:
    """Lock every order's row; a missing one is made first, since only a row can be locked."""
    made = await tx.fetch(
        """
        INSERT INTO reservations (order_id, state) SELECT unnest($1::uuid[]), 'AWAITED'
            ON CONFLICT DO NOTHING
        RETURNING order_id
        """,
        order_ids,
    )
    reservations = {row["order_id"]: Reservation(row["order_id"]) for row in made}
    known = [order_id for order_id in order_ids if order_id not in reservations]
    return reservations | await _lock_known(tx, known) if known else reservations


async def _lock_known(tx: Transaction, order_ids: Sequence[UUID]) -> dict[UUID, Reservation]:
    rows = await tx.fetch(
        """
        SELECT order_id, state, deadline_at, confirmed
          FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE
        """,
        order_ids,
    )
    lines = await lines_of(tx, order_ids)
    return {row["order_id"]: _reservation_of(row, lines[row["order_id"]]) for row in rows}


def _reservation_of(row: asyncpg.Record, lines: Sequence[HeldLine]) -> Reservation:
    return Reservation(
        order_id=row["order_id"],
        state=ReservationState(row["state"]),
        lines=tuple(lines),
        deadline_at=row["deadline_at"],
        confirmed=row["confirmed"],
    )


async def lines_of(tx: Transaction, order_ids: Sequence[UUID]) -> defaultdict[UUID, list[HeldLine]]:
    rows = await tx.fetch(
        """
        SELECT order_id, line_no, sku, quantity, restocked
          FROM reservation_lines WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, line_no
        """,
        order_ids,
    )
    lines: defaultdict[UUID, list[HeldLine]] = defaultdict(list)
    for order_id, line_no, sku, quantity, restocked in rows:
        lines[order_id].append(HeldLine(line_no, sku, quantity, restocked))
    return lines


async def _known_refunds(tx: Transaction, refund_ids: Iterable[UUID]) -> set[UUID]:
    rows = await tx.fetch(
        "SELECT refund_id FROM restocks WHERE refund_id = ANY($1::uuid[])", list(refund_ids)
    )
    return {row["refund_id"] for row in rows}


async def _save_changes(tx: Transaction, room: Stockroom) -> None:
    """Write reservations, lines, counts and ledger in one statement: one exchange for the batch.

    The counts move by deltas: the row's own CHECKs then guard the sum.
    """
    columns = (
        *_reservation_columns(room.changed_reservations()),
        *_line_columns(list(room.changed_lines())),
        *_delta_columns(room),
        *_movement_columns(room.ledger),
    )
    if not any(columns):
        return
    await tx.execute(
        """
        WITH reserved AS (
            UPDATE reservations AS r
               SET state = n.state, deadline_at = n.deadline_at, confirmed = n.confirmed,
                   updated_at = now()
              FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::boolean[])
                   AS n (order_id, state, deadline_at, confirmed)
             WHERE r.order_id = n.order_id
        ), listed AS (
            INSERT INTO reservation_lines (order_id, line_no, sku, quantity, restocked)
            SELECT * FROM unnest($5::uuid[], $6::integer[], $7::text[], $8::bigint[], $9::bigint[])
                ON CONFLICT (order_id, line_no)
                DO UPDATE SET quantity = excluded.quantity, restocked = excluded.restocked
        ), counted AS (
            UPDATE stock AS s
               SET available = s.available + d.available, reserved = s.reserved + d.reserved,
                   sold = s.sold + d.sold, version = d.version, updated_at = now()
              FROM unnest($10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
                   AS d (sku, available, reserved, sold, version)
             WHERE s.sku = d.sku
        )
        INSERT INTO movements (sku, kind, quantity, order_id, reason, made_by, reference, event_id)
        SELECT * FROM unnest($15::text[], $16::text[], $17::bigint[], $18::uuid[], $19::text[],
                             $20::uuid[], $21::text[], $22::uuid[])
        """,
        *columns,
    )


def _reservation_columns(changed: Sequence[Reservation]) -> tuple[list[object], ...]:
    return (
        [each.order_id for each in changed],
        [each.state for each in changed],
        [each.deadline_at for each in changed],
        [each.confirmed for each in changed],
    )


def _line_columns(changed: Sequence[tuple[UUID, HeldLine]]) -> tuple[list[object], ...]:
    return (
        [order_id for order_id, _ in changed],
        [line.line_no for _, line in changed],
        [line.sku for _, line in changed],
        [line.quantity for _, line in changed],
        [line.restocked for _, line in changed],
    )


def _delta_columns(room: Stockroom) -> tuple[list[object], ...]:
    deltas = room.deltas()
    return (
        list(deltas),
        [delta.available for delta in deltas.values()],
        [delta.reserved for delta in deltas.values()],
        [delta.sold for delta in deltas.values()],
        [room.shelves[sku].version for sku in deltas],
    )


def _movement_columns(
    ledger: Sequence[tuple[Movement, UUID | None]],
) -> tuple[list[object], ...]:
    return (
        [movement.sku for movement, _ in ledger],
        [movement.kind for movement, _ in ledger],
        [movement.quantity for movement, _ in ledger],
        [movement.order_id for movement, _ in ledger],
        [movement.reason for movement, _ in ledger],
        [movement.made_by for movement, _ in ledger],
        [movement.reference for movement, _ in ledger],
        [event_id for _, event_id in ledger],
    )


async def _drop_lines(tx: Transaction, dropped: Sequence[tuple[UUID, int]]) -> None:
    if not dropped:
        return
    await tx.execute(
        """
        DELETE FROM reservation_lines AS l USING unnest($1::uuid[], $2::integer[])
               AS d (order_id, line_no)
         WHERE (l.order_id, l.line_no) = (d.order_id, d.line_no)
        """,
        [order_id for order_id, _ in dropped],
        [line_no for _, line_no in dropped],
    )


async def _save_restocks(tx: Transaction, restocks: Sequence[Restocked]) -> None:
    if not restocks:
        return
    await tx.execute(
        """
        INSERT INTO restocks (refund_id, order_id)
        SELECT * FROM unnest($1::uuid[], $2::uuid[])
        """,
        [each.refund_id for each in restocks],
        [each.order_id for each in restocks],
    )
