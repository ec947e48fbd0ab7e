"""Whether a payment has refunds: those that have none are not asked for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column(
        "payments",
        sa.Column("has_refunds", sa.Boolean, nullable=False, server_default=sa.text("false")),
        schema=SCHEMA,
    )
    op.execute(
        f"UPDATE {SCHEMA}.payments SET has_refunds = true"  # noqa: S608
        f" WHERE order_id IN (SELECT order_id FROM {SCHEMA}.refunds)"
    )


def downgrade() -> None:
    op.drop_column("payments", "has_refunds", schema=SCHEMA)
