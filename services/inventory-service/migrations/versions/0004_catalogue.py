"""Categories, removed products, who moved stock by hand, and an index for each list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "inventory"
MOMENT = sa.TIMESTAMP(timezone=True)

_AVAILABILITY = """
CASE WHEN available <= 0 THEN 'NONE' WHEN available <= low_stock THEN 'LOW' ELSE 'SOME' END
"""


def upgrade() -> None:
    _create_categories()
    _extend_stock()
    _index_stock()
    op.add_column("movements", sa.Column("made_by", sa.UUID), schema=SCHEMA)
    _index(
        "ix_movements_order_id_id",
        "movements",
        ["order_id", "id"],
        where="order_id IS NOT NULL",
    )
    _index(
        "ix_movements_kind_id",
        "movements",
        ["kind", "id"],
        where="kind IN ('initial', 'adjusted', 'restocked')",
    )
    # Rows come in the order of their times: a few bytes a page of them are index enough.
    op.create_index("ix_movements_at", "movements", ["at"], schema=SCHEMA, postgresql_using="brin")
    _index("ix_reservations_state_order_id", "reservations", ["state", "order_id"])


def downgrade() -> None:
    op.drop_index("ix_reservations_state_order_id", "reservations", schema=SCHEMA)
    op.drop_index("ix_movements_at", "movements", schema=SCHEMA)
    op.drop_index("ix_movements_kind_id", "movements", schema=SCHEMA)
    op.drop_index("ix_movements_order_id_id", "movements", schema=SCHEMA)
    op.drop_column("movements", "made_by", schema=SCHEMA)
    op.drop_index("ix_stock_search", "stock", schema=SCHEMA)
    op.drop_constraint("ck_stock_tombstone_due_at", "stock", schema=SCHEMA)
    op.drop_constraint("ck_stock_deleted_at", "stock", schema=SCHEMA)
    for column in ("tombstone_due_at", "availability", "category"):
        op.drop_column("stock", column, schema=SCHEMA)
    op.drop_table("categories", schema=SCHEMA)


def _create_categories() -> None:
    op.create_table(
        "categories",
        sa.Column("category", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("category", name="pk_categories"),
        schema=SCHEMA,
    )


def _extend_stock() -> None:
    op.add_column("stock", sa.Column("category", sa.Text(collation="C")), schema=SCHEMA)
    op.create_foreign_key(
        "fk_stock_category_categories",
        "stock",
        "categories",
        ["category"],
        ["category"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )
    availability = sa.Column("availability", sa.Text, sa.Computed(_AVAILABILITY, persisted=True))
    op.add_column("stock", availability, schema=SCHEMA)
    op.add_column("stock", sa.Column("tombstone_due_at", MOMENT), schema=SCHEMA)
    op.create_check_constraint(
        op.f("ck_stock_deleted_at"),
        "stock",
        "deleted_at IS NULL OR (NOT active AND category IS NULL)",
        schema=SCHEMA,
    )
    op.create_check_constraint(
        op.f("ck_stock_tombstone_due_at"),
        "stock",
        "tombstone_due_at IS NULL OR deleted_at IS NOT NULL",
        schema=SCHEMA,
    )


def _index_stock() -> None:
    """Index no column that moves with every order, or each update would touch every index."""
    _index("ix_stock_category_sku", "stock", ["category", "sku"], where="category IS NOT NULL")
    _index(
        "ix_stock_availability_sku", "stock", ["availability", "sku"], where="deleted_at IS NULL"
    )
    _index("ix_stock_inactive", "stock", ["sku"], where="deleted_at IS NULL AND NOT active")
    _index(
        "ix_stock_tombstone_due_at",
        "stock",
        ["tombstone_due_at"],
        where="tombstone_due_at IS NOT NULL",
    )
    # Of all rows: the planner takes no statistics from an index of some.
    op.execute(
        """
        CREATE INDEX ix_stock_search ON inventory.stock
         USING gin ((' ' || lower(sku) || ' ' || lower(name)) extensions.gin_trgm_ops)
        """
    )


def _index(name: str, table: str, columns: list[str], *, where: str | None = None) -> None:
    predicate = None if where is None else sa.text(where)
    op.create_index(name, table, columns, schema=SCHEMA, postgresql_where=predicate)
