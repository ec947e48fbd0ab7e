"""What a customer is offered of an order that is short."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "orders"


def upgrade() -> None:
    op.add_column("orders", sa.Column("offer", JSONB), schema=SCHEMA)
    op.add_column(
        "orders", sa.Column("own_deadline_at", sa.TIMESTAMP(timezone=True)), schema=SCHEMA
    )
    op.create_check_constraint(
        op.f("ck_orders_offer"),
        "orders",
        "(status = 'ACTION_REQUIRED') = (offer IS NOT NULL) "
        "AND (offer IS NULL) = (own_deadline_at IS NULL)",
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_orders_offer"), "orders", schema=SCHEMA)
    op.drop_column("orders", "own_deadline_at", schema=SCHEMA)
    op.drop_column("orders", "offer", schema=SCHEMA)
