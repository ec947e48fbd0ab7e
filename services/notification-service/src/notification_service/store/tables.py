"""The service's tables, as SQLAlchemy knows them."""

import sqlalchemy as sa
from common.migration import messaging_tables
from common.schema import metadata_for
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

METADATA = metadata_for("notifications")
messaging_tables(METADATA)

_MOMENT = TIMESTAMP(timezone=True)
_NOW = sa.text("now()")

sa.Table(
    "orders",
    METADATA,
    sa.Column("order_id", PG_UUID, primary_key=True),
    sa.Column("customer_id", PG_UUID, nullable=False),
    sa.Column("lines", JSONB, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
)

sa.Table(
    "customers",
    METADATA,
    sa.Column("customer_id", PG_UUID, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("email", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("language", sa.Text, nullable=False, server_default=sa.text("'en'")),
)

sa.Table(
    "notifications",
    METADATA,
    sa.Column("order_id", PG_UUID, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'PENDING'")),
    sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("lease_token", PG_UUID),
    sa.Column("error", sa.Text),
    sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("settled_at", _MOMENT),
    sa.CheckConstraint("status IN ('PENDING', 'SENT', 'FAILED', 'SUPPRESSED')", name="status"),
    sa.Index("ix_notifications_due", "due_at", postgresql_where=sa.text("status = 'PENDING'")),
)
