"""Whose turn it is among all that wait: the oldest letters, and of them those that are due."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "notifications"
PENDING = sa.text("status = 'PENDING'")


def upgrade() -> None:
    op.create_index(
        "ix_notifications_turn",
        "notifications",
        ["created_at", "id", "due_at"],
        schema=SCHEMA,
        postgresql_where=PENDING,
    )
    for index in ("due", "unaddressed"):
        op.drop_index(f"ix_notifications_{index}", "notifications", schema=SCHEMA)


def downgrade() -> None:
    op.create_index(
        "ix_notifications_unaddressed",
        "notifications",
        ["order_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'PENDING' AND customer_id IS NULL"),
    )
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["due_at"],
        schema=SCHEMA,
        postgresql_where=PENDING,
    )
    op.drop_index("ix_notifications_turn", "notifications", schema=SCHEMA)
