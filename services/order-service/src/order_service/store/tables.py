"""The tables of the orders schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from common.migration import messaging_tables
from common.schema import metadata_for
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP, UUID

from order_service.domain import Health, Payment, RefundState, Status, Stock

metadata = metadata_for("orders")
messaging_tables(metadata)

# No foreign key on the hot path: an order, its lines and its history are written together, under
# the order's lock, and a look-up for each row would cost more than the row.


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, **options)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


orders = sa.Table(
    "orders",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("customer_id", UUID, nullable=False),
    _text("status", nullable=False),
    _text("saga", nullable=False),
    _text("stock", nullable=False),
    _text("payment", nullable=False),
    _text("reason"),
    _text("closed_by"),
    _flag("stock_closed"),
    _flag("payment_closed"),
    _number("total"),
    _text("currency", nullable=False),
    _number("amount_captured"),
    _number("amount_refunded"),
    sa.Column("noted", ARRAY(sa.Text), nullable=False),
    sa.Column("offer", JSONB),
    _text("stuck_reason"),
    sa.Column("version", sa.Integer, nullable=False),
    _moment("deadline_at"),
    _moment("own_deadline_at", nullable=True),
    _moment("stuck_at", nullable=True),
    _moment("closing_since", nullable=True),
    sa.Column("closing_attempts", sa.Integer, nullable=False),
    _moment("closing_due_at", nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("confirmed_at", nullable=True),
    _moment("completed_at", nullable=True),
    _moment("settled_at", nullable=True),
    _one_of("status", Status),
    _one_of("saga", Health),
    _one_of("stock", Stock),
    _one_of("payment", Payment),
    _one_of("closed_by", ("customer", "staff", "system")),
    sa.CheckConstraint("total > 0", name="total"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    sa.CheckConstraint("amount_captured BETWEEN 0 AND total", name="amount_captured"),
    sa.CheckConstraint("amount_refunded BETWEEN 0 AND amount_captured", name="amount_refunded"),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint(
        "(status IN ('REJECTED', 'EXPIRED', 'CANCELLING', 'CANCELLED')) = (reason IS NOT NULL) "
        "AND (reason IS NULL) = (closed_by IS NULL)",
        name="reason",
    ),
    sa.CheckConstraint(
        "(status = 'ACTION_REQUIRED') = (offer IS NOT NULL) "
        "AND (offer IS NULL) = (own_deadline_at IS NULL)",
        name="offer",
    ),
    sa.CheckConstraint("(saga = 'STUCK') = (stuck_reason IS NOT NULL)", name="stuck_reason"),
    sa.Index("ix_orders_customer", "customer_id", "created_at", "order_id"),
    sa.Index("ix_orders_created", "created_at", "order_id"),
    sa.Index(
        "ix_orders_deadline",
        "deadline_at",
        postgresql_where=sa.text("status IN ('PENDING', 'ACTION_REQUIRED')"),
    ),
    sa.Index(
        "ix_orders_unconfirmed",
        "customer_id",
        postgresql_where=sa.text("status IN ('PENDING', 'ACTION_REQUIRED')"),
    ),
    sa.Index(
        "ix_orders_closing_due",
        "closing_due_at",
        postgresql_where=sa.text("closing_due_at IS NOT NULL"),
    ),
    sa.Index("ix_orders_stuck", "stuck_at", postgresql_where=sa.text("stuck_at IS NOT NULL")),
    sa.Index("ix_orders_open", "status", "saga", postgresql_where=sa.text("settled_at IS NULL")),
)

order_lines = sa.Table(
    "order_lines",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("line_no", sa.Integer, primary_key=True, autoincrement=False),
    _text("sku", nullable=False),
    _text("name", nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    _number("unit_price"),
    sa.CheckConstraint("quantity > 0", name="quantity"),
    sa.CheckConstraint("unit_price >= 0", name="unit_price"),
)

order_events = sa.Table(
    "order_events",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    _text("type", nullable=False),
    _text("service", nullable=False),
    sa.Column("data", JSONB, nullable=False),
    _moment("occurred_at"),
    _moment("recorded_at"),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("causation_id", UUID),
)

refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("refund_id", UUID, primary_key=True),
    sa.Column("order_id", UUID, nullable=False),
    _number("amount"),
    _text("currency", nullable=False),
    _text("state", nullable=False),
    _text("reason", nullable=False),
    _text("requested_by", nullable=False),
    _moment("requested_at"),
    _moment("updated_at"),
    sa.Column("lines", JSONB, nullable=False),
    _flag("restock"),
    _text("code"),
    _one_of("state", RefundState),
    _one_of("requested_by", ("customer", "staff", "system")),
    sa.CheckConstraint("amount >= 0", name="amount"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    sa.CheckConstraint("(state = 'FAILED') = (code IS NOT NULL)", name="code"),
    sa.Index("ix_refunds_order", "order_id", "requested_at", "refund_id"),
    sa.Index("ix_refunds_open", "updated_at", postgresql_where=sa.text("state = 'REQUESTED'")),
)

shipping_addresses = sa.Table(
    "shipping_addresses",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("customer_id", UUID, nullable=False),
    _text("name", nullable=False),
    sa.Column("lines", ARRAY(sa.Text), nullable=False),
    _text("city", nullable=False),
    _text("region"),
    _text("postal_code"),
    _text("country", nullable=False),
    sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
    sa.Index("ix_shipping_addresses_customer", "customer_id"),
)

products = sa.Table(
    "products",
    metadata,
    # The byte order of "C": pages of the catalogue and locks go by it, whatever the locale.
    sa.Column("sku", sa.Text(collation="C"), primary_key=True),
    _text("name"),
    sa.Column("price", sa.BigInteger),
    _text("currency"),
    _flag("active"),
    _text("available"),
    _number("version"),
    _moment("removed_at", nullable=True),
    sa.CheckConstraint("price >= 0", name="price"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    _one_of("available", ("NONE", "LOW", "SOME")),
    sa.CheckConstraint(
        "removed_at IS NOT NULL OR num_nulls(name, price, currency, available) = 0", name="removed"
    ),
    sa.Index(
        "ix_products_search",
        sa.literal_column("(((' ' || lower(sku)) || ' ') || lower(name))").label("search"),
        postgresql_using="gin",
        postgresql_ops={"search": "extensions.gin_trgm_ops"},
    ),
)


customers = sa.Table(
    "customers",
    metadata,
    sa.Column("customer_id", UUID, primary_key=True),
    _text("email", unique=True),
    _text("name"),
    _text("language"),
    _text("password_hash"),
    sa.Column("roles", ARRAY(sa.Text), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    _number("version"),
    _moment("deleted_at", nullable=True),
    _moment("tombstone_due_at", nullable=True),
    _moment("created_at"),
    sa.CheckConstraint("email = lower(email)", name="email"),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint(
        "CASE WHEN deleted_at IS NULL THEN num_nulls(email, language, password_hash) = 0 "
        "ELSE num_nonnulls(email, name, language, password_hash) = 0 END",
        name="deleted",
    ),
    sa.Index("ix_customers_created", "created_at", "customer_id"),
    sa.Index(
        "ix_customers_admins",
        "customer_id",
        postgresql_where=sa.text("active AND deleted_at IS NULL AND 'admin' = ANY (roles)"),
    ),
    sa.Index(
        "ix_customers_tombstone_due",
        "tombstone_due_at",
        postgresql_where=sa.text("tombstone_due_at IS NOT NULL"),
    ),
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("token_hash", BYTEA, primary_key=True),
    sa.Column("family", UUID, nullable=False),
    sa.Column("customer_id", UUID, sa.ForeignKey("orders.customers.customer_id"), nullable=False),
    _moment("issued_at"),
    _moment("used_at", nullable=True),
    sa.Column("replaced_by", BYTEA),
    _moment("revoked_at", nullable=True),
    _moment("expires_at"),
    sa.Index("ix_refresh_tokens_family", "family"),
    sa.Index("ix_refresh_tokens_customer_id", "customer_id"),
    sa.Index("ix_refresh_tokens_expires_at", "expires_at"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("principal", UUID, primary_key=True),
    _text("route", primary_key=True),
    _text("key", primary_key=True),
    sa.Column("fingerprint", BYTEA, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", BYTEA, nullable=False),
    sa.Column("order_id", UUID),
    _moment("created_at"),
    sa.CheckConstraint("status BETWEEN 100 AND 599", name="status"),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)
