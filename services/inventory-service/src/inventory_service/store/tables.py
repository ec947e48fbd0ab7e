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


def _now(name: str) -> sa.Column[Any]:
    return _moment(name, nullable=False, server_default=sa.text("now()"))


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
    _moment("deleted_at"),
    _now("created_at"),
    _now("updated_at"),
    sa.CheckConstraint("price > 0", name="price"),
    sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    sa.CheckConstraint("available >= 0", name="available"),
    sa.CheckConstraint("reserved >= 0", name="reserved"),
    sa.CheckConstraint("sold >= 0", name="sold"),
    sa.CheckConstraint("low_stock >= 0", name="low_stock"),
    sa.CheckConstraint("version >= 1", name="version"),
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
    _now("at"),
    sa.CheckConstraint(
        "kind IN ('initial', 'adjusted', 'reserved', 'released', 'committed', 'restocked')",
        name="kind",
    ),
    sa.CheckConstraint("quantity > 0 OR (kind = 'adjusted' AND quantity <> 0)", name="quantity"),
    sa.CheckConstraint("(kind IN ('initial', 'adjusted')) = (order_id IS NULL)", name="order_id"),
    sa.Index("ix_movements_sku_id", "sku", "id"),
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
