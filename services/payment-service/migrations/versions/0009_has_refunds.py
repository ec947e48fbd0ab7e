"""Whether a payment has refunds: those that have none are not asked for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "payments"


def upgrade() -> None:
    op.add_column(
        "payments",
        sa.Column("has_refunds", sa.Boolean, nullable=False, server_default=sa.text("false")),
        schema=SCHEMA,
    )
    # By the database: a process of the version before adds refunds, too, and knows no flag.
    op.execute(
        f"""
        CREATE FUNCTION {SCHEMA}.note_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE {SCHEMA}.payments AS p SET has_refunds = true
              FROM added WHERE p.order_id = added.order_id AND NOT p.has_refunds;
            RETURN NULL;
        END $$
        """  # noqa: S608
    )
    op.execute(
        f"""
        CREATE TRIGGER note_refunds AFTER INSERT ON {SCHEMA}.refunds
            REFERENCING NEW TABLE AS added FOR EACH STATEMENT
            EXECUTE FUNCTION {SCHEMA}.note_refunds()
        """
    )
    # After the trigger, which waits for refunds that are being added: none is left out.
    op.execute(
        f"UPDATE {SCHEMA}.payments SET has_refunds = true"  # noqa: S608
        f" WHERE order_id IN (SELECT order_id FROM {SCHEMA}.refunds)"
    )


def downgrade() -> None:
    op.execute(f"DROP TRIGGER note_refunds ON {SCHEMA}.refunds")
    op.execute(f"DROP FUNCTION {SCHEMA}.note_refunds()")
    op.drop_column("payments", "has_refunds", schema=SCHEMA)
