"""Since when money is held: a capture must end before the hold does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column("payments", sa.Column("authorized_at", TIMESTAMP(timezone=True)), schema=SCHEMA)
    # No hold is older than its payment.
    op.execute(
        f"UPDATE {SCHEMA}.payments SET authorized_at = created_at WHERE have = 'AUTHORIZED'"  # noqa: S608
    )


def downgrade() -> None:
    op.drop_column("payments", "authorized_at", schema=SCHEMA)
