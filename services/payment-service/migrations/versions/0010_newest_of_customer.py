"""A customer's payments, newest first, without reading everybody's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "payments"
INDEX = "ix_payments_customer"


def upgrade() -> None:
    op.create_index(
        INDEX,
        "payments",
        ["customer_id", "created_at", "order_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "payments", schema=SCHEMA)
