"""The provider's events that came by webhook, each once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("payment_id", sa.UUID),
        sa.Column("intent_id", sa.Text),
        sa.Column("amount", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column(
            "received_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.PrimaryKeyConstraint("provider", "event_id", name="pk_webhook_events"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_webhook_events_received_at", "webhook_events", ["received_at"], schema=SCHEMA
    )


def downgrade() -> None:
    op.drop_table("webhook_events", schema=SCHEMA)
