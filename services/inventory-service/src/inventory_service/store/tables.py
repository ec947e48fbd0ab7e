"""The tables of the inventory schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from common.migration import messaging_tables
from common.schema import metadata_for
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

metadata = metadata_for("inventory")
messaging_tables(metadata)

# No foreign key here: all rows of a batch are written under the locks of their reservation and
# their stock row, and a look-up for each line would cost more than the line.


def _count(name: str, default: str | None = "0") -> sa.Column[int]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=server_default)


def _moment(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, TIMESTAMP(timezone=True), **options)


def _index(name: str, *columns: str, where: str) -> sa.Index:
    return sa.Index(name, *columns, postgresql_where=sa.text(where))


def _now(name: str) -> sa.Column[Any]:
    return _moment(name, nullable=False, server_default=sa.text("now()"))


categories = sa.Table(
    "categories",
    metadata,
    sa.Column("category", sa.Text(collation="C"), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    _now("created_at"),
)

_AVAILABILITY = """
CASE WHEN available <= 0 THEN 'NONE' WHEN available <= low_stock THEN 'LOW' ELSE 'SOME' END
"""

stock = sa.Table(
    "stock",
    metadata,
    # The byte order of "C" is the order in which stock is locked, whatever the cluster's locale.
    sa.Column("sku", sa.Text(collation="C"), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    _count("price", None),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.text("true")),
    _count("available"),
    _count("reserved"),
    _count("sold"),
    _count("low_stock"),
    _count("version", "1"),
    sa.Column("allow_partial", sa.Boolean, nullable=False, server_default=sa.text("false")),
    # Checked when the category changes, which no order does.
    sa.Column("category", sa.Text(collation="C"), sa.ForeignKey("inventory.categories.category")),
    # Stored, since an index on the counts themselves would have to follow every order.
    sa.Column("availability", sa.Text, sa.Computed(_AVAILABILITY, persisted=True)),
    _moment("deleted_at"),
    _moment("tombstone_due_at"),
    _now("created_at"),
    _now("updated_at"),
    sa.CheckConstraint("price > 0", name="price"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    sa.CheckConstraint("available >= 0", name="available"),
    sa.CheckConstraint("reserved >= 0", name="reserved"),
    sa.CheckConstraint("sold >= 0", name="sold"),
    sa.CheckConstraint("low_stock >= 0", name="low_stock"),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint(
        "deleted_at IS NULL OR (NOT active AND category IS NULL)", name="deleted_at"
    ),
    sa.CheckConstraint(
        "tombstone_due_at IS NULL OR deleted_at IS NOT NULL", name="tombstone_due_at"
    ),
    _index("ix_stock_category_sku", "category", "sku", where="category IS NOT NULL"),
    _index("ix_stock_availability_sku", "availability", "sku", where="deleted_at IS NULL"),
    _index("ix_stock_inactive", "sku", where="deleted_at IS NULL AND NOT active"),
    _index("ix_stock_tombstone_due_at", "tombstone_due_at", where="tombstone_due_at IS NOT NULL"),
    sa.Index(
        "ix_stock_search",
        sa.literal_column("(((' ' || lower(sku)) || ' ') || lower(name))").label("search"),
        postgresql_using="gin",
        postgresql_ops={"search": "extensions.gin_trgm_ops"},
    ),
)

movements = sa.Table(
    "movements",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("sku", sa.Text(collation="C"), nullable=False),
    sa.Column("order_id", UUID),
    sa.Column("kind", sa.Text, nullable=False),
    _count("quantity", None),
    sa.Column("reason", sa.Text),
    sa.Column("event_id", UUID),
    sa.Column("made_by", UUID),
    sa.Column("reference", sa.Text),
    _now("at"),
    sa.CheckConstraint(
        "kind IN ('initial', 'adjusted', 'reserved', 'released', 'committed', 'unsold',"
        " 'restocked')",
        name="kind",
    ),
    sa.CheckConstraint("quantity > 0 OR (kind = 'adjusted' AND quantity <> 0)", name="quantity"),
    sa.CheckConstraint("(kind IN ('initial', 'adjusted')) = (order_id IS NULL)", name="order_id"),
    sa.Index("ix_movements_sku_id", "sku", "id"),
    _index("ix_movements_order_id_id", "order_id", "id", where="order_id IS NOT NULL"),
    _index(
        "ix_movements_kind_id",
        *("kind", "id"),
        where="kind IN ('initial', 'adjusted', 'unsold', 'restocked')",
    ),
    sa.Index("ix_movements_at", "at", postgresql_using="brin"),
    sa.Index(
        "uq_movements_sku_reference",
        "sku",
        "reference",
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
    ),
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    _moment("deadline_at"),
    sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.text("false")),
    _now("created_at"),
    _now("updated_at"),
    sa.CheckConstraint(
        "state IN ('AWAITED', 'HELD', 'COMMITTED', 'RELEASED', 'REJECTED', 'CLOSED')",
        name="state",
    ),
    sa.CheckConstraint("state <> 'HELD' OR deadline_at IS NOT NULL", name="deadline_at"),
    sa.Index("ix_reservations_held", "deadline_at", postgresql_where=sa.text("state = 'HELD'")),
    sa.Index("ix_reservations_state_order_id", "state", "order_id"),
)

reservation_lines = sa.Table(
    "reservation_lines",
    metadata,
    sa.Column("order_id", UUID, primary_key=True),
    sa.Column("line_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sku", sa.Text(collation="C"), nullable=False),
    _count("quantity", None),
    _count("restocked"),
    sa.CheckConstraint("quantity > 0", name="quantity"),
    sa.CheckConstraint("restocked BETWEEN 0 AND quantity", name="restocked"),
)

restocks = sa.Table(
    "restocks",
    metadata,
    sa.Column("refund_id", UUID, primary_key=True),
    sa.Column("order_id", UUID, nullable=False),
    _now("at"),
)
