"""The tables of merchants' endpoints, as SQLAlchemy knows them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

_MOMENT = TIMESTAMP(timezone=True)
_NOW = sa.text("now()")
_PENDING = sa.text("status = 'PENDING'")


def webhook_tables(metadata: sa.MetaData) -> None:
    """Add endpoints, deliveries and their log to the service's metadata."""
    _add_endpoints(metadata)
    _add_deliveries(metadata)
    sa.Table(
        "delivery_attempts",
        metadata,
        sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column(
            "delivery_id",
            PG_UUID,
            sa.ForeignKey("notifications.deliveries.delivery_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status_code", sa.Integer),
        sa.Column("latency_ms", sa.Integer, nullable=False),
        sa.Index("ix_delivery_attempts_delivery_id_attempt_id", "delivery_id", "attempt_id"),
    )


def _add_endpoints(metadata: sa.MetaData) -> None:
    sa.Table(
        "endpoints",
        metadata,
        sa.Column("endpoint_id", PG_UUID, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("types", ARRAY(sa.Text), nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'ACTIVE'")),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("old_secret", sa.LargeBinary),
        sa.Column("old_secret_until", _MOMENT),
        sa.Column("failing_since", _MOMENT),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("held_until", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("updated_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("removed_at", _MOMENT),
        sa.CheckConstraint("status IN ('ACTIVE', 'DISABLED')", name="status"),
    )


def _add_deliveries(metadata: sa.MetaData) -> None:
    sa.Table(
        "deliveries",
        metadata,
        sa.Column("delivery_id", PG_UUID, primary_key=True),
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column(
            "endpoint_id",
            PG_UUID,
            sa.ForeignKey("notifications.endpoints.endpoint_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("order_id", PG_UUID, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'PENDING'")),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("lease_token", PG_UUID),
        sa.Column("created_at", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("settled_at", _MOMENT),
        sa.UniqueConstraint("endpoint_id", "order_id", "type", "subject"),
        sa.CheckConstraint("status IN ('PENDING', 'DELIVERED', 'FAILED')", name="status"),
        sa.Index("ix_deliveries_due", "endpoint_id", "due_at", postgresql_where=_PENDING),
        sa.Index(
            "ix_deliveries_leased",
            "endpoint_id",
            postgresql_where=sa.text("status = 'PENDING' AND lease_token IS NOT NULL"),
        ),
        sa.Index("ix_deliveries_endpoint", "endpoint_id", "seq"),
        sa.Index(
            "ix_deliveries_settled",
            "settled_at",
            postgresql_where=sa.text("settled_at IS NOT NULL"),
        ),
    )
