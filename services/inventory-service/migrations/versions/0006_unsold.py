"""A kind of movement for what was sold beyond the part that the customer took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "inventory"
CHECK = "ck_movements_kind"
INDEX = "ix_movements_kind_id"
ORDINARY = "'initial', 'adjusted', 'reserved', 'released', 'committed'"
RARE = "'initial', 'adjusted'"


def upgrade() -> None:
    _allow(f"{ORDINARY}, 'unsold', 'restocked'", indexed=f"{RARE}, 'unsold', 'restocked'")


def downgrade() -> None:
    _allow(f"{ORDINARY}, 'restocked'", indexed=f"{RARE}, 'restocked'")


def _allow(kinds: str, *, indexed: str) -> None:
    op.drop_constraint(CHECK, "movements", schema=SCHEMA)
    op.create_check_constraint(op.f(CHECK), "movements", f"kind IN ({kinds})", schema=SCHEMA)
    op.drop_index(INDEX, "movements", schema=SCHEMA)
    op.create_index(
        INDEX,
        "movements",
        ["kind", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text(f"kind IN ({indexed})"),
    )
