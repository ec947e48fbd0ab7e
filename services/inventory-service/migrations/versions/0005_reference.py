"""The paper behind an adjustment, so that it is booked once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "inventory"


def upgrade() -> None:
    op.add_column("movements", sa.Column("reference", sa.Text), schema=SCHEMA)
    op.create_index(
        "uq_movements_sku_reference",
        "movements",
        ["sku", "reference"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("reference IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("uq_movements_sku_reference", "movements", schema=SCHEMA)
    op.drop_column("movements", "reference", schema=SCHEMA)
