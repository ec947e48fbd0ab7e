"""Stock, its ledger, reservations, and the messaging tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from common.migration import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "inventory"
NOW = sa.text("now()")
ZERO = sa.text("0")
MOMENT = sa.TIMESTAMP(timezone=True)
SKU = sa.Text(collation="C")


def upgrade() -> None:
    create_messaging_tables(SCHEMA)
    _create_stock()
    _create_movements()
    _create_reservations()
    _create_reservation_lines()
    op.create_table(
        "restocks",
        sa.Column("refund_id", sa.UUID, nullable=False),
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("refund_id", name="pk_restocks"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("restocks", "reservation_lines", "reservations", "movements", "stock"):
        op.drop_table(table, schema=SCHEMA)
    drop_messaging_tables(SCHEMA)


def _create_stock() -> None:
    op.create_table(
        "stock",
        sa.Column("sku", SKU, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("available", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("reserved", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("sold", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("low_stock", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("deleted_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
        sa.CheckConstraint("price > 0", name=op.f("ck_stock_price")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_stock_currency")),
        sa.CheckConstraint("available >= 0", name=op.f("ck_stock_available")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_reserved")),
        sa.CheckConstraint("sold >= 0", name=op.f("ck_stock_sold")),
        sa.CheckConstraint("low_stock >= 0", name=op.f("ck_stock_low_stock")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_stock_version")),
        schema=SCHEMA,
        # Room for the next versions of a hot row on its own page: no index is touched then.
        postgresql_with={"fillfactor": 50},
    )


def _create_movements() -> None:
    op.create_table(
        "movements",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("sku", SKU, nullable=False),
        sa.Column("order_id", sa.UUID),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("event_id", sa.UUID),
        sa.Column("at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_movements"),
        sa.CheckConstraint(
            "kind IN ('initial', 'adjusted', 'reserved', 'released', 'committed', 'restocked')",
            name=op.f("ck_movements_kind"),
        ),
        sa.CheckConstraint(
            "quantity > 0 OR (kind = 'adjusted' AND quantity <> 0)",
            name=op.f("ck_movements_quantity"),
        ),
        sa.CheckConstraint(
            "(kind IN ('initial', 'adjusted')) = (order_id IS NULL)",
            name=op.f("ck_movements_order_id"),
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_movements_sku_id", "movements", ["sku", "id"], schema=SCHEMA)


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("deadline_at", MOMENT),
        sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("order_id", name="pk_reservations"),
        sa.CheckConstraint(
            "state IN ('AWAITED', 'HELD', 'COMMITTED', 'RELEASED', 'REJECTED', 'CLOSED')",
            name=op.f("ck_reservations_state"),
        ),
        sa.CheckConstraint(
            "state <> 'HELD' OR deadline_at IS NOT NULL",
            name=op.f("ck_reservations_deadline_at"),
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_reservations_held",
        "reservations",
        ["deadline_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'HELD'"),
    )


def _create_reservation_lines() -> None:
    op.create_table(
        "reservation_lines",
        sa.Column("order_id", sa.UUID, nullable=False),
        sa.Column("line_no", sa.Integer, nullable=False),
        sa.Column("sku", SKU, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("restocked", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.PrimaryKeyConstraint("order_id", "line_no", name="pk_reservation_lines"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservation_lines_quantity")),
        sa.CheckConstraint(
            "restocked BETWEEN 0 AND quantity", name=op.f("ck_reservation_lines_restocked")
        ),
        schema=SCHEMA,
    )
