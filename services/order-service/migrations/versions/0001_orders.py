"""Orders, their history, the catalogue's copy, customers, and the messaging tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from common.migration import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "orders"
MOMENT = sa.TIMESTAMP(timezone=True)
TEXTS = sa.ARRAY(sa.Text)
OUR_TABLES = (
    "idempotency_keys",
    "refresh_tokens",
    "customers",
    "products",
    "order_events",
    "order_lines",
    "orders",
)


def upgrade() -> None:
    create_messaging_tables(SCHEMA)
    _create_orders()
    _index_orders()
    _create_order_lines()
    _create_order_events()
    _create_products()
    _create_customers()
    _create_refresh_tokens()
    _create_idempotency_keys()


def downgrade() -> None:
    for table in OUR_TABLES:
        op.drop_table(table, schema=SCHEMA)
    drop_messaging_tables(SCHEMA)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("saga", sa.Text, nullable=False),
        sa.Column("stock", sa.Text, nullable=False),
        sa.Column("payment", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("closed_by", sa.Text),
        sa.Column("stock_closed", sa.Boolean, nullable=False),
        sa.Column("payment_closed", sa.Boolean, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount_captured", sa.BigInteger, nullable=False),
        sa.Column("amount_refunded", sa.BigInteger, nullable=False),
        sa.Column("noted", TEXTS, nullable=False),
        sa.Column("stuck_reason", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
        *_order_moments(),
        *_order_checks(),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        schema=SCHEMA,
        # Room beside each row: an order changes some five times within its first second.
        postgresql_with={"fillfactor": 70},
    )


def _order_moments() -> list[sa.Column[object]]:
    return [
        sa.Column("deadline_at", MOMENT, nullable=False),
        sa.Column("stuck_at", MOMENT),
        sa.Column("closing_since", MOMENT),
        sa.Column("closing_attempts", sa.Integer, nullable=False),
        sa.Column("closing_due_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("confirmed_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("settled_at", MOMENT),
    ]


def _order_checks() -> list[sa.CheckConstraint]:
    checks = {
        "status": "status IN ('PENDING', 'ACTION_REQUIRED', 'CONFIRMED', 'COMPLETED', 'SHIPPED', "
        "'DELIVERED', 'CANCELLING', 'CANCELLED', 'REJECTED', 'EXPIRED')",
        "saga": "saga IN ('RUNNING', 'WAITING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', "
        "'STUCK')",
        "stock": "stock IN ('NONE', 'RESERVED', 'PARTIAL', 'COMMITTED', 'RELEASED', 'REJECTED')",
        "payment": "payment IN ('NONE', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOIDED', "
        "'PARTIALLY_REFUNDED', 'REFUNDED')",
        "closed_by": "closed_by IN ('customer', 'staff', 'system')",
        "total": "total > 0",
        "currency": "currency ~ '^[A-Z]{3}$'",
        "amount_captured": "amount_captured BETWEEN 0 AND total",
        "amount_refunded": "amount_refunded BETWEEN 0 AND amount_captured",
        "version": "version >= 1",
        "reason": "(status IN ('REJECTED', 'EXPIRED', 'CANCELLING', 'CANCELLED')) = "
        "(reason IS NOT NULL) AND (reason IS NULL) = (closed_by IS NULL)",
        "stuck_reason": "(saga = 'STUCK') = (stuck_reason IS NOT NULL)",
    }
    return [_check("orders", name, condition) for name, condition in checks.items()]


def _index_orders() -> None:
    partial = {
        "ix_orders_deadline": (["deadline_at"], "status IN ('PENDING', 'ACTION_REQUIRED')"),
        "ix_orders_closing_due": (["closing_due_at"], "closing_due_at IS NOT NULL"),
        "ix_orders_stuck": (["stuck_at"], "stuck_at IS NOT NULL"),
        "ix_orders_open": (["status", "saga"], "settled_at IS NULL"),
    }
    for name, (columns, condition) in partial.items():
        op.create_index(name, "orders", columns, schema=SCHEMA, postgresql_where=sa.text(condition))
    newest_of_customer = ["customer_id", "created_at", "order_id"]
    op.create_index("ix_orders_customer", "orders", newest_of_customer, schema=SCHEMA)
    op.create_index("ix_orders_created", "orders", ["created_at", "order_id"], schema=SCHEMA)


def _create_order_lines() -> None:
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("line_no", sa.Integer, nullable=False),
        sa.Column("sku", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price", sa.BigInteger, nullable=False),
        _check("order_lines", "quantity", "quantity > 0"),
        _check("order_lines", "unit_price", "unit_price >= 0"),
        sa.PrimaryKeyConstraint("order_id", "line_no", name=op.f("pk_order_lines")),
        schema=SCHEMA,
    )


def _create_order_events() -> None:
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("data", sa.dialects.postgresql.JSONB, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("event_id", sa.UUID, nullable=False),
        sa.Column("causation_id", sa.UUID),
        sa.PrimaryKeyConstraint("order_id", "version", name=op.f("pk_order_events")),
        schema=SCHEMA,
    )


def _create_products() -> None:
    op.create_table(
        "products",
        sa.Column("sku", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("price", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("available", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("removed_at", MOMENT),
        _check("products", "price", "price >= 0"),
        _check("products", "currency", "currency ~ '^[A-Z]{3}$'"),
        _check("products", "available", "available IN ('NONE', 'LOW', 'SOME')"),
        _check(
            "products",
            "removed",
            "removed_at IS NOT NULL OR num_nulls(name, price, currency, available) = 0",
        ),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_products")),
        schema=SCHEMA,
    )


def _create_customers() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("roles", TEXTS, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        _check("customers", "email", "email = lower(email)"),
        _check("customers", "version", "version >= 1"),
        _check(
            "customers",
            "deleted",
            "CASE WHEN deleted_at IS NULL THEN num_nulls(email, language, password_hash) = 0 "
            "ELSE num_nonnulls(email, name, language, password_hash) = 0 END",
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customers")),
        sa.UniqueConstraint("email", name=op.f("uq_customers_email")),
        schema=SCHEMA,
    )


def _create_refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("family", sa.UUID, nullable=False),
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
        sa.Column("replaced_by", sa.LargeBinary),
        sa.Column("revoked_at", MOMENT),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            [f"{SCHEMA}.customers.customer_id"],
            name=op.f("fk_refresh_tokens_customer_id_customers"),
        ),
        schema=SCHEMA,
    )
    for column in ("family", "customer_id", "expires_at"):
        op.create_index(f"ix_refresh_tokens_{column}", "refresh_tokens", [column], schema=SCHEMA)


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.UUID, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("order_id", sa.UUID),
        sa.Column("created_at", MOMENT, nullable=False),
        _check("idempotency_keys", "status", "status BETWEEN 100 AND 599"),
        sa.PrimaryKeyConstraint("principal", "route", "key", name=op.f("pk_idempotency_keys")),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], schema=SCHEMA
    )
