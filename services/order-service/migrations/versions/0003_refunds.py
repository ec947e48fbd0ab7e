"""Refunds, one row each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "orders"
MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.UUID, nullable=False),
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("lines", sa.dialects.postgresql.JSONB, nullable=False),
        sa.Column("restock", sa.Boolean, nullable=False),
        sa.Column("code", sa.Text),
        _check("state", "state IN ('REQUESTED', 'SUCCEEDED', 'FAILED')"),
        _check("requested_by", "requested_by IN ('customer', 'staff', 'system')"),
        _check("amount", "amount >= 0"),
        _check("currency", "currency ~ '^[A-Z]{3}$'"),
        _check("code", "(state = 'FAILED') = (code IS NOT NULL)"),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
        schema=SCHEMA,
    )
    of_an_order = ["order_id", "requested_at", "refund_id"]
    op.create_index("ix_refunds_order", "refunds", of_an_order, schema=SCHEMA)
    op.create_index(
        "ix_refunds_open",
        "refunds",
        ["updated_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'REQUESTED'"),
    )


def downgrade() -> None:
    op.drop_table("refunds", schema=SCHEMA)


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_refunds_{name}"))
