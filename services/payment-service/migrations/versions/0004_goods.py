"""How much of an order there is to be paid for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column(
        "payments",
        sa.Column("goods", sa.Text, nullable=False, server_default=sa.text("'UNKNOWN'")),
        schema=SCHEMA,
    )
    # Until now nothing but a whole reservation ever made a payment wanted.
    op.execute(
        f"UPDATE {SCHEMA}.payments SET goods = 'WHOLE' WHERE wanted IN ('AUTHORIZED', 'CAPTURED')"  # noqa: S608
    )
    op.create_check_constraint(
        op.f("ck_payments_goods"),
        "payments",
        "goods IN ('UNKNOWN', 'WHOLE', 'PART', 'AGREED')",
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_column("payments", "goods", schema=SCHEMA)
