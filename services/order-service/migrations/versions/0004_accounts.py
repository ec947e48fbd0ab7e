"""Accounts that may be switched off, lists of them, and erasures that are said again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "orders"


def upgrade() -> None:
    op.add_column(
        "customers",
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        schema=SCHEMA,
    )
    op.add_column(
        "customers",
        sa.Column("tombstone_due_at", sa.TIMESTAMP(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_customers_created", "customers", ["created_at", "customer_id"], schema=SCHEMA
    )
    op.create_index(
        "ix_customers_admins",
        "customers",
        ["customer_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("active AND deleted_at IS NULL AND 'admin' = ANY (roles)"),
    )
    op.create_index(
        "ix_customers_tombstone_due",
        "customers",
        ["tombstone_due_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("tombstone_due_at IS NOT NULL"),
    )


def downgrade() -> None:
    for index in ("ix_customers_tombstone_due", "ix_customers_admins", "ix_customers_created"):
        op.drop_index(index, "customers", schema=SCHEMA)
    op.drop_column("customers", "tombstone_due_at", schema=SCHEMA)
    op.drop_column("customers", "active", schema=SCHEMA)
