"""Merchants' endpoints, what is delivered to them, and the log of the attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "notifications"
NOW = sa.text("now()")
MOMENT = sa.TIMESTAMP(timezone=True)
PENDING = sa.text("status = 'PENDING'")
LEASED = sa.text("status = 'PENDING' AND lease_token IS NOT NULL")
SETTLED = sa.text("settled_at IS NOT NULL")


def upgrade() -> None:
    _create_endpoints()
    _create_deliveries()
    _create_attempts()


def downgrade() -> None:
    for table in ("delivery_attempts", "deliveries", "endpoints"):
        op.drop_table(table, schema=SCHEMA)


def _create_endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("endpoint_id", sa.UUID, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("types", ARRAY(sa.Text), nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'ACTIVE'")),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("old_secret", sa.LargeBinary),
        sa.Column("old_secret_until", MOMENT),
        sa.Column("failing_since", MOMENT),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("held_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("endpoint_id", name="pk_endpoints"),
        sa.CheckConstraint("status IN ('ACTIVE', 'DISABLED')", name=op.f("ck_endpoints_status")),
        schema=SCHEMA,
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.UUID, nullable=False),
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.UUID, nullable=False),
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'PENDING'")),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("lease_token", sa.UUID),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("settled_at", MOMENT),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            [f"{SCHEMA}.endpoints.endpoint_id"],
            name="fk_deliveries_endpoint_id_endpoints",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "endpoint_id",
            "order_id",
            "type",
            "subject",
            name="uq_deliveries_endpoint_id_order_id_type_subject",
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'DELIVERED', 'FAILED')", name=op.f("ck_deliveries_status")
        ),
        schema=SCHEMA,
    )
    _index("due", ["endpoint_id", "due_at"], PENDING)
    _index("order", ["endpoint_id", "order_id", "seq"], PENDING)
    _index("leased", ["endpoint_id"], LEASED)
    _index("endpoint", ["endpoint_id", "seq"], None)
    _index("settled", ["settled_at"], SETTLED)


def _index(name: str, columns: list[str], where: sa.TextClause | None) -> None:
    op.create_index(
        f"ix_deliveries_{name}", "deliveries", columns, schema=SCHEMA, postgresql_where=where
    )


def _create_attempts() -> None:
    op.create_table(
        "delivery_attempts",
        sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.UUID, nullable=False),
        sa.Column("at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status_code", sa.Integer),
        sa.Column("latency_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_delivery_attempts"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            [f"{SCHEMA}.deliveries.delivery_id"],
            name="fk_delivery_attempts_delivery_id_deliveries",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_delivery_attempts_delivery_id_attempt_id",
        "delivery_attempts",
        ["delivery_id", "attempt_id"],
        schema=SCHEMA,
    )
