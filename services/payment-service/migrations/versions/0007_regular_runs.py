"""Which runs follow each other without a gap: one that was asked for is beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column(
        "reconciliations",
        sa.Column("regular", sa.Boolean, nullable=False, server_default=sa.text("false")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_column("reconciliations", "regular", schema=SCHEMA)
