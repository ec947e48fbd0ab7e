"""Runs that compare the provider's list with our payments, and what they found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "payments"
NOW = sa.text("now()")
MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    _create_runs()
    _create_differences()


def downgrade() -> None:
    for table in ("reconciliation_differences", "reconciliations"):
        op.drop_table(table, schema=SCHEMA)


def _create_runs() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("run_id", sa.UUID, nullable=False),
        sa.Column("payment_id", sa.UUID),
        sa.Column("from_at", MOMENT, nullable=False),
        sa.Column("to_at", MOMENT, nullable=False),
        sa.Column("compared", sa.Integer),
        sa.Column("in_flux", sa.Integer),
        sa.Column("lease_token", sa.UUID),
        sa.Column("next_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("run_id", name="pk_reconciliations"),
        sa.CheckConstraint("from_at < to_at", name=op.f("ck_reconciliations_window")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (next_at IS NOT NULL)", name=op.f("ck_reconciliations_open")
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_reconciliations_open_payment",
        "reconciliations",
        ["payment_id"],
        schema=SCHEMA,
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _create_differences() -> None:
    op.create_table(
        "reconciliation_differences",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.UUID, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("payment_id", sa.UUID),
        sa.Column("order_id", sa.UUID),
        sa.Column("provider_id", sa.Text),
        sa.Column("ours", sa.Text, nullable=False),
        sa.Column("theirs", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliation_differences"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            [f"{SCHEMA}.reconciliations.run_id"],
            name="fk_reconciliation_differences_run_id_reconciliations",
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_reconciliation_differences_run_id",
        "reconciliation_differences",
        ["run_id", "id"],
        schema=SCHEMA,
    )
