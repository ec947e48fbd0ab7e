"""Whose intent it is, of payments that are not on their way: comparisons ask for those."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "payments"
INDEX = "ix_payments_intent"


def upgrade() -> None:
    op.create_index(
        INDEX,
        "payments",
        ["intent_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("operation IS NULL AND intent_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "payments", schema=SCHEMA)
