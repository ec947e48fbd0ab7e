"""Audit, replay jobs, breakers, and who paused the consumer."""

from common import ops_tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "notifications"


def upgrade() -> None:
    ops_tables.create(SCHEMA)


def downgrade() -> None:
    ops_tables.drop(SCHEMA)
