"""Letters that failed or were suppressed, which staff looks for among very many that were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "notifications"


def upgrade() -> None:
    op.create_index(
        "ix_notifications_unsent",
        "notifications",
        ["created_at", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IN ('FAILED', 'SUPPRESSED')"),
    )


def downgrade() -> None:
    op.drop_index("ix_notifications_unsent", "notifications", schema=SCHEMA)
