"""Whether an order may get less of a product than it asks for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "inventory"


def upgrade() -> None:
    op.add_column(
        "stock",
        sa.Column("allow_partial", sa.Boolean, nullable=False, server_default=sa.text("false")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_column("stock", "allow_partial", schema=SCHEMA)
