"""What is set aside is paged and forgotten by indexes; a new inbox partition waits for nobody."""

from common import migration

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "orders"


def upgrade() -> None:
    migration.index_what_is_set_aside(SCHEMA)
    migration.replace_inbox_upkeep(SCHEMA)


def downgrade() -> None:
    migration.drop_indexes_of_what_is_set_aside(SCHEMA)
