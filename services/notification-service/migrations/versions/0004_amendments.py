"""What is offered of an order that is short, and what its customer took of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "notifications"


def upgrade() -> None:
    op.create_table(
        "amendments",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_amendments"),
        schema=SCHEMA,
    )
    op.add_column("notifications", sa.Column("offer", JSONB), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("notifications", "offer", schema=SCHEMA)
    op.drop_table("amendments", schema=SCHEMA)
