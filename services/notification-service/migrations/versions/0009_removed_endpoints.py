"""Endpoints that were removed, while their deliveries are being deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "notifications"


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("removed_at", sa.TIMESTAMP(timezone=True)), schema=SCHEMA)


def downgrade() -> None:
    # the version before knows no removed endpoint: it would show them
    op.execute(f"DELETE FROM {SCHEMA}.endpoints WHERE removed_at IS NOT NULL")  # noqa: S608
    op.drop_column("endpoints", "removed_at", schema=SCHEMA)
