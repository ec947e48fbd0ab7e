"""Orders, customers, the notices owed to them, and the messaging tables."""

import sqlalchemy as sa
from alembic import op
from common.migration import create_messaging_tables, drop_messaging_tables
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "notifications"
NOW = sa.text("now()")
MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    create_messaging_tables(SCHEMA)
    _create_orders()
    _create_customers()
    _create_notifications()


def downgrade() -> None:
    for table in ("notifications", "customers", "orders"):
        op.drop_table(table, schema=SCHEMA)
    drop_messaging_tables(SCHEMA)


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        schema=SCHEMA,
    )


def _create_customers() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("language", sa.Text, nullable=False, server_default=sa.text("'en'")),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
        schema=SCHEMA,
    )


def _create_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'PENDING'")),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("lease_token", sa.UUID),
        sa.Column("error", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("settled_at", MOMENT),
        sa.PrimaryKeyConstraint("order_id", "kind", "subject", name="pk_notifications"),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENT', 'FAILED', 'SUPPRESSED')",
            name=op.f("ck_notifications_status"),
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["due_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
