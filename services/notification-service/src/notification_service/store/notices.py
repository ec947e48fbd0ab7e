"""Orders and the notices that their customers are owed."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from common.database import Transaction
from common.message import uuid7

from notification_service.domain.notices import Amendment, Desk, Notice, Order
from notification_service.messages import AskedLine, OrderLine


async def load_desk(
    tx: Transaction,
    *,
    placed: Sequence[UUID],
    amended: Sequence[UUID],
    owed: Sequence[UUID],
) -> Desk:
    """Find in one statement what is known of a batch's orders, each as far as it is asked for."""
    rows = await tx.fetch(
        """
        SELECT 'order' AS known, order_id, NULL AS kind, NULL AS subject
          FROM orders WHERE order_id = ANY($1::uuid[])
         UNION ALL
        SELECT 'amendment', order_id, NULL, NULL
          FROM amendments WHERE order_id = ANY($2::uuid[])
         UNION ALL
        SELECT 'notice', order_id, kind, subject
          FROM notifications WHERE order_id = ANY($3::uuid[])
         UNION ALL
        SELECT 'merchant', NULL, NULL, NULL
         WHERE EXISTS (SELECT FROM endpoints WHERE status = 'ACTIVE')
        """,
        placed,
        amended,
        owed,
    )
    return Desk(
        orders={row["order_id"] for row in rows if row["known"] == "order"},
        amended={row["order_id"] for row in rows if row["known"] == "amendment"},
        notices={
            (row["order_id"], row["kind"], row["subject"])
            for row in rows
            if row["known"] == "notice"
        },
        merchants_listen=any(row["known"] == "merchant" for row in rows),
    )


async def add_orders(tx: Transaction, orders: Sequence[Order]) -> None:
    await tx.execute(
        """
        INSERT INTO orders (order_id, customer_id, lines, total, currency)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::jsonb[], $4::bigint[], $5::text[])
            ON CONFLICT DO NOTHING
        """,
        [order.order_id for order in orders],
        [order.customer_id for order in orders],
        [_lines_out(order.lines) for order in orders],
        [order.total.amount for order in orders],
        [order.total.currency for order in orders],
    )


async def add_amendments(tx: Transaction, amendments: Sequence[Amendment]) -> None:
    await tx.execute(
        """
        INSERT INTO amendments (order_id, lines, total)
        SELECT * FROM unnest($1::uuid[], $2::jsonb[], $3::bigint[]) ON CONFLICT DO NOTHING
        """,
        [amendment.order_id for amendment in amendments],
        [_lines_out(amendment.lines) for amendment in amendments],
        [amendment.total.amount for amendment in amendments],
    )


async def add_notices(tx: Transaction, notices: Sequence[Notice]) -> None:
    """Owe each notice, due now: one whose order or customer is unknown is leased once both are."""
    await tx.execute(
        """
        INSERT INTO notifications (id, order_id, customer_id, kind, subject, reason, amount,
                                   currency, message_id, offer)
        SELECT id, order_id, coalesce(new.customer_id, o.customer_id), kind, subject, reason,
               amount, new.currency, message_id, offer
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                      $7::bigint[], $8::text[], $9::text[], $10::jsonb[])
               WITH ORDINALITY AS new (id, order_id, customer_id, kind, subject, reason, amount,
                                       currency, message_id, offer, place)
               LEFT JOIN orders o USING (order_id)
         ORDER BY place
            ON CONFLICT DO NOTHING
        """,
        [uuid7() for _ in notices],
        [notice.order_id for notice in notices],
        [notice.customer_id for notice in notices],
        [notice.kind for notice in notices],
        [notice.subject for notice in notices],
        [notice.reason for notice in notices],
        [notice.money.amount if notice.money else None for notice in notices],
        [notice.money.currency if notice.money else None for notice in notices],
        [notice.message_id for notice in notices],
        [_lines_out(notice.offer) if notice.offer else None for notice in notices],
    )


async def lock_status(tx: Transaction, notice_id: UUID) -> str | None:
    status: str | None = await tx.fetchval(
        "SELECT status FROM notifications WHERE id = $1 FOR UPDATE", notice_id
    )
    return status


async def make_due(tx: Transaction, notice_id: UUID) -> None:
    """Make a notice due now as if it were new, unless it is just being tried."""
    await tx.execute(
        """
        UPDATE notifications
           SET status = 'PENDING', attempt = 0, error = NULL, due_at = now(), owed_at = now(),
               settled_at = NULL, lease_token = NULL
         WHERE id = $1 AND (status <> 'PENDING' OR lease_token IS NULL)
        """,
        notice_id,
    )


def _lines_out(lines: Sequence[OrderLine | AskedLine]) -> str:
    return orjson.dumps([line.model_dump() for line in lines]).decode()
