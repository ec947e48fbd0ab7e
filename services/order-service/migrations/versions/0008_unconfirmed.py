"""Finds a customer's orders that are not confirmed, to cap what they hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "orders"


def upgrade() -> None:
    op.create_index(
        "ix_orders_unconfirmed",
        "orders",
        ["customer_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IN ('PENDING', 'ACTION_REQUIRED')"),
    )


def downgrade() -> None:
    op.drop_index("ix_orders_unconfirmed", "orders", schema=SCHEMA)
