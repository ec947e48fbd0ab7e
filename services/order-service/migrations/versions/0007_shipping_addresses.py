"""Where orders go, apart from the orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "orders"


def upgrade() -> None:
    op.create_table(
        "shipping_addresses",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("lines", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("city", sa.Text, nullable=False),
        sa.Column("region", sa.Text),
        sa.Column("postal_code", sa.Text),
        sa.Column("country", sa.Text, nullable=False),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_shipping_addresses_country")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_shipping_addresses")),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_shipping_addresses_customer", "shipping_addresses", ["customer_id"], schema=SCHEMA
    )


def downgrade() -> None:
    op.drop_table("shipping_addresses", schema=SCHEMA)
