"""The catalogue's copy is searched by an index."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of all rows: the planner takes no statistics from an index of some.
    op.execute(
        """
        CREATE INDEX ix_products_search ON orders.products
         USING gin ((' ' || lower(sku) || ' ' || lower(name)) extensions.gin_trgm_ops)
        """
    )


def downgrade() -> None:
    op.drop_index("ix_products_search", "products", schema="orders")
