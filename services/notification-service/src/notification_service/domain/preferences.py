"""Which letters a customer may do without, and why one is not even tried."""

from collections.abc import Set as AbstractSet
from typing import get_args

from notification_service.messages import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)

OPTIONAL: frozenset[Kind] = frozenset({"welcome", "shipped"})
"""The others tell of a contract or of money: the law wants them told, whatever is preferred."""


def is_muted(kind: Kind, muted: AbstractSet[str]) -> bool:
    """Tell whether a customer wants no letter of this kind, and may."""
    return kind in OPTIONAL and kind in muted
