"""Whose payment it is, and payments in the order in which they came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column("payments", sa.Column("customer_id", sa.UUID), schema=SCHEMA)
    op.create_index("ix_payments_created_at", "payments", ["created_at", "order_id"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("ix_payments_created_at", "payments", schema=SCHEMA)
    op.drop_column("payments", "customer_id", schema=SCHEMA)
