"""An order's deliveries are found by what makes each unique: one index less to write."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "notifications"


def upgrade() -> None:
    op.drop_index("ix_deliveries_order", "deliveries", schema=SCHEMA)


def downgrade() -> None:
    op.create_index(
        "ix_deliveries_order",
        "deliveries",
        ["endpoint_id", "order_id", "seq"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
