"""The service's tables, as SQLAlchemy knows them."""

import sqlalchemy as sa
from common.migration import messaging_tables
from common.schema import metadata_for
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from notification_service.store.webhook_tables import webhook_tables

METADATA = metadata_for("notifications")
messaging_tables(METADATA)
webhook_tables(METADATA)

_MOMENT = TIMESTAMP(timezone=True)
_NOW = sa.text("now()")
_PENDING = sa.text("status = 'PENDING'")

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
    "amendments",
    METADATA,
    sa.Column("order_id", PG_UUID, primary_key=True),
    sa.Column("lines", JSONB, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
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
    sa.Column("id", PG_UUID, primary_key=True),
    sa.Column("order_id", PG_UUID),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("customer_id", PG_UUID),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("offer", JSONB),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'PENDING'")),
    sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("lease_token", PG_UUID),
    sa.Column("error", sa.Text),
    sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("owed_at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("settled_at", _MOMENT),
    sa.UniqueConstraint("order_id", "kind", "subject", postgresql_nulls_not_distinct=True),
    sa.CheckConstraint("status IN ('PENDING', 'SENT', 'FAILED', 'SUPPRESSED')", name="status"),
    sa.Index("ix_notifications_turn", "created_at", "id", "due_at", postgresql_where=_PENDING),
    sa.Index("ix_notifications_recipient", "customer_id", "due_at", postgresql_where=_PENDING),
    sa.Index("ix_notifications_customer", "customer_id", "created_at", "id"),
    sa.Index("ix_notifications_created", "created_at", "id"),
    sa.Index(
        "ix_notifications_unsent",
        "created_at",
        "id",
        postgresql_where=sa.text("status IN ('FAILED', 'SUPPRESSED')"),
    ),
)

sa.Table(
    "attempts",
    METADATA,
    sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("notice_id", PG_UUID, nullable=False),
    sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Index("ix_attempts_notice_id_attempt_id", "notice_id", "attempt_id"),
)

sa.Table(
    "suppressions",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
)

sa.Table(
    "preferences",
    METADATA,
    sa.Column("customer_id", PG_UUID, primary_key=True),
    sa.Column("language", sa.Text),
    sa.Column("muted", ARRAY(sa.Text), nullable=False),
)
