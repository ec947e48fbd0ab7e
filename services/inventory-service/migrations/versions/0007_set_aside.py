"""What is set aside is paged and forgotten by indexes; a new inbox partition waits for nobody."""

from common import migration

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "inventory"


def upgrade() -> None:
    migration.index_what_is_set_aside(SCHEMA)
    migration.replace_inbox_upkeep(SCHEMA)


def downgrade() -> None:
    migration.drop_indexes_of_what_is_set_aside(SCHEMA)
