"""Payments with the attempt in hand, refunds, and the messaging tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from common.migration import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "payments"
NOW = sa.text("now()")
ZERO = sa.text("0")
NO = sa.text("false")
NONE = sa.text("'NONE'")
MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    create_messaging_tables(SCHEMA)
    _create_payments()
    _create_refunds()


def downgrade() -> None:
    for table in ("refunds", "payments"):
        op.drop_table(table, schema=SCHEMA)
    drop_messaging_tables(SCHEMA)


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("payment_id", sa.UUID, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False, server_default=NONE),
        sa.Column("have", sa.Text, nullable=False, server_default=NONE),
        sa.Column("amount", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("payment_method", sa.Text),
        sa.Column("intent_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("captured", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("refunded", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("answer_owed", sa.Boolean, nullable=False, server_default=NO),
        sa.Column("answered", sa.Boolean, nullable=False, server_default=NO),
        *_attempt_columns(),
        sa.Column("cause_id", sa.UUID),
        sa.Column("correlation_id", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("order_id", name="pk_payments"),
        sa.UniqueConstraint("payment_id", name="uq_payments_payment_id"),
        *_payment_checks(),
        schema=SCHEMA,
        # A row is written about eight times: room for its next versions on its own page.
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ix_payments_due",
        "payments",
        ["next_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )


def _attempt_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("operation", sa.Text),
        sa.Column("refund_id", sa.UUID),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("calls", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("in_doubt", sa.Boolean, nullable=False, server_default=NO),
        sa.Column("looks", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("called_at", MOMENT),
        sa.Column("last_call_at", MOMENT),
        sa.Column("lease_token", sa.UUID),
        sa.Column("next_at", MOMENT),
    ]


def _payment_checks() -> list[sa.CheckConstraint]:
    checks = {
        "wanted": "wanted IN ('NONE', 'AUTHORIZED', 'CAPTURED', 'CLOSED')",
        "have": "have IN ('NONE', 'AUTHORIZED', 'DECLINED', 'CAPTURED', 'CAPTURE_FAILED', "
        "'VOIDED', 'REFUNDED')",
        "amount": "amount > 0",
        "currency": "currency ~ '^[A-Z]{3}$'",
        "captured": "captured IN (0, amount)",
        "refunded": "refunded BETWEEN 0 AND captured",
        "operation": "operation IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND', 'LOOK')",
        "next_at": "(operation IS NULL) = (next_at IS NULL)",
        "refund_id": "(operation = 'REFUND') = (refund_id IS NOT NULL)",
    }
    return [
        sa.CheckConstraint(rule, name=op.f(f"ck_payments_{name}")) for name, rule in checks.items()
    ]


def _create_refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.UUID, nullable=False),
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("settled_at", MOMENT),
        sa.PrimaryKeyConstraint("refund_id", name="pk_refunds"),
        sa.ForeignKeyConstraint(
            ["order_id"], [f"{SCHEMA}.payments.order_id"], name="fk_refunds_order_id_payments"
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.CheckConstraint(
            "status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')", name=op.f("ck_refunds_status")
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_refunds_order_id", "refunds", ["order_id"], schema=SCHEMA)
