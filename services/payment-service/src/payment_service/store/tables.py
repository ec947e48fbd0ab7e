"""The tables of the payments schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from common.migration import messaging_tables
from common.schema import metadata_for
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

metadata = metadata_for("payments")
messaging_tables(metadata)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))


def _count(name: str, kind: type[sa.Integer] = sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text("0"))


def _moment(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, TIMESTAMP(timezone=True), **options)


def _now(name: str) -> sa.Column[Any]:
    return _moment(name, nullable=False, server_default=sa.text("now()"))


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=sa.text("'NONE'"))


payments = sa.Table(
    "payments",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("payment_id", UUID, nullable=False, unique=True),
    sa.Column("customer_id", UUID),
    _word("wanted"),
    _word("have"),
    sa.Column("goods", sa.Text, nullable=False, server_default=sa.text("'UNKNOWN'")),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("payment_method", sa.Text),
    sa.Column("intent_id", sa.Text),
    sa.Column("code", sa.Text),
    _count("captured", sa.BigInteger),
    _count("refunded", sa.BigInteger),
    _flag("answer_owed"),
    _flag("answered"),
    # Spares a look for the refunds of payments that have none: nearly all. A trigger sets it.
    _flag("has_refunds"),
    # The attempt in hand; a lease moves next_at to its own end.
    sa.Column("operation", sa.Text),
    sa.Column("refund_id", UUID),
    _count("attempt"),
    _count("calls"),
    _flag("in_doubt"),
    _count("looks"),
    _moment("called_at"),
    _moment("last_call_at"),
    sa.Column("lease_token", UUID),
    _moment("next_at"),
    # When the call was first made that authorised: the hold is no younger.
    _moment("authorized_at"),
    # What led here, for the events that the provider's answers become.
    sa.Column("cause_id", UUID),
    sa.Column("correlation_id", sa.Text),
    sa.Column("traceparent", sa.Text),
    _now("created_at"),
    _now("updated_at"),
    sa.CheckConstraint("wanted IN ('NONE', 'AUTHORIZED', 'CAPTURED', 'CLOSED')", name="wanted"),
    sa.CheckConstraint(
        "have IN ('NONE', 'AUTHORIZED', 'DECLINED', 'CAPTURED', 'CAPTURE_FAILED', 'VOIDED', "
        "'REFUNDED')",
        name="have",
    ),
    sa.CheckConstraint("goods IN ('UNKNOWN', 'WHOLE', 'PART', 'AGREED')", name="goods"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    sa.CheckConstraint("captured IN (0, amount)", name="captured"),
    sa.CheckConstraint("refunded BETWEEN 0 AND captured", name="refunded"),
    sa.CheckConstraint(
        "operation IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND', 'LOOK')", name="operation"
    ),
    sa.CheckConstraint("(operation IS NULL) = (next_at IS NULL)", name="next_at"),
    sa.CheckConstraint("(operation = 'REFUND') = (refund_id IS NOT NULL)", name="refund_id"),
    sa.Index(
        "ix_payments_customer",
        "customer_id",
        "created_at",
        "order_id",
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    ),
    sa.Index("ix_payments_created_at", "created_at", "order_id"),
    # Comparisons leave out what is on its way: an order is written here twice, not four times.
    sa.Index(
        "ix_payments_intent",
        "intent_id",
        postgresql_where=sa.text("operation IS NULL AND intent_id IS NOT NULL"),
    ),
    sa.Index("ix_payments_due", "next_at", postgresql_where=sa.text("next_at IS NOT NULL")),
)

webhook_events = sa.Table(
    "webhook_events",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("payment_id", UUID),
    sa.Column("intent_id", sa.Text),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    _now("received_at"),
    sa.Index("ix_webhook_events_received_at", "received_at"),
)

refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("refund_id", UUID, primary_key=True),
    sa.Column("order_id", UUID, sa.ForeignKey("payments.payments.order_id"), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    _now("created_at"),
    _moment("settled_at"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("status IN ('REQUESTED', 'SUCCEEDED', 'FAILED')", name="status"),
    sa.Index("ix_refunds_order_id", "order_id"),
)

reconciliations = sa.Table(
    "reconciliations",
    metadata,
    sa.Column("run_id", UUID, primary_key=True),
    sa.Column("payment_id", UUID),
    sa.Column("regular", sa.Boolean, nullable=False, server_default=sa.text("false")),
    _moment("from_at", nullable=False),
    _moment("to_at", nullable=False),
    sa.Column("compared", sa.Integer),
    sa.Column("in_flux", sa.Integer),
    sa.Column("lease_token", UUID),
    _moment("next_at"),
    _now("created_at"),
    _moment("finished_at"),
    sa.CheckConstraint("from_at < to_at", name="window"),
    sa.CheckConstraint("(finished_at IS NULL) = (next_at IS NOT NULL)", name="open"),
    sa.Index(
        "ix_reconciliations_open_payment",
        "payment_id",
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    ),
)

reconciliation_differences = sa.Table(
    "reconciliation_differences",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("run_id", UUID, sa.ForeignKey("payments.reconciliations.run_id"), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payment_id", UUID),
    sa.Column("order_id", UUID),
    sa.Column("provider_id", sa.Text),
    sa.Column("ours", sa.Text, nullable=False),
    sa.Column("theirs", sa.Text, nullable=False),
    sa.Index("ix_reconciliation_differences_run_id", "run_id", "id"),
)
