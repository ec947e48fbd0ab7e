"""Notices with an id and a recipient, their attempts, bounced addresses, preferences."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "notifications"
NOW = sa.text("now()")
MOMENT = sa.TIMESTAMP(timezone=True)
PENDING = sa.text("status = 'PENDING'")


def upgrade() -> None:
    _identify_notices()
    _create_attempts()
    _create_suppressions()
    _create_preferences()


def downgrade() -> None:
    for table in ("preferences", "suppressions", "attempts"):
        op.drop_table(table, schema=SCHEMA)
    for index in ("recipient", "unaddressed", "customer", "created"):
        op.drop_index(f"ix_notifications_{index}", "notifications", schema=SCHEMA)
    op.drop_constraint("uq_notifications_order_id_kind_subject", "notifications", schema=SCHEMA)
    op.drop_constraint("pk_notifications", "notifications", schema=SCHEMA)
    op.execute(f"DELETE FROM {SCHEMA}.notifications WHERE order_id IS NULL")  # noqa: S608
    op.create_primary_key(
        "pk_notifications", "notifications", ["order_id", "kind", "subject"], schema=SCHEMA
    )
    for column in ("owed_at", "customer_id", "id"):
        op.drop_column("notifications", column, schema=SCHEMA)


def _identify_notices() -> None:
    op.add_column(
        "notifications",
        sa.Column("id", sa.UUID, nullable=False, server_default=sa.text("gen_random_uuid()")),
        schema=SCHEMA,
    )
    op.alter_column("notifications", "id", server_default=None, schema=SCHEMA)
    op.add_column("notifications", sa.Column("customer_id", sa.UUID), schema=SCHEMA)
    op.add_column(
        "notifications",
        sa.Column("owed_at", MOMENT, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )
    op.execute(
        f"UPDATE {SCHEMA}.notifications n SET customer_id = o.customer_id, owed_at = n.created_at"  # noqa: S608
        f" FROM {SCHEMA}.orders o WHERE o.order_id = n.order_id"
    )
    op.drop_constraint("pk_notifications", "notifications", schema=SCHEMA)
    op.create_primary_key("pk_notifications", "notifications", ["id"], schema=SCHEMA)
    op.alter_column("notifications", "order_id", nullable=True, schema=SCHEMA)
    op.create_unique_constraint(
        "uq_notifications_order_id_kind_subject",
        "notifications",
        ["order_id", "kind", "subject"],
        schema=SCHEMA,
        postgresql_nulls_not_distinct=True,
    )
    _create_indexes()


def _create_indexes() -> None:
    op.create_index(
        "ix_notifications_recipient",
        "notifications",
        ["customer_id", "due_at"],
        schema=SCHEMA,
        postgresql_where=PENDING,
    )
    op.create_index(
        "ix_notifications_unaddressed",
        "notifications",
        ["order_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'PENDING' AND customer_id IS NULL"),
    )
    op.create_index(
        "ix_notifications_customer",
        "notifications",
        ["customer_id", "created_at", "id"],
        schema=SCHEMA,
    )
    op.create_index(
        "ix_notifications_created", "notifications", ["created_at", "id"], schema=SCHEMA
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("notice_id", sa.UUID, nullable=False),
        sa.Column("at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempts"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_attempts_notice_id_attempt_id", "attempts", ["notice_id", "attempt_id"], schema=SCHEMA
    )


def _create_suppressions() -> None:
    op.create_table(
        "suppressions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("digest", name="pk_suppressions"),
        schema=SCHEMA,
    )


def _create_preferences() -> None:
    op.create_table(
        "preferences",
        sa.Column("customer_id", sa.UUID, nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("muted", ARRAY(sa.Text), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_preferences"),
        schema=SCHEMA,
    )
