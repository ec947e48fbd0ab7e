"""The small shop at rest, as a fixture."""

from tests.support.shop_at_rest import shop_at_rest, world

__all__ = ["shop_at_rest", "world"]
