"""Lists that are searched and filtered: the pattern of a text, and a plan for what was given."""

from __future__ import annotations

import re

from common.database import Transaction

_SPECIAL = re.compile(r"([\\%_])")
_TRIGRAM = 3
"""Letters that a trigram index needs to find a text anywhere in a word."""


def pattern(text: str) -> str:
    """Make the LIKE pattern that finds a text as it stands.

    It is found anywhere; one of less than three letters only where a word begins. The column
    that is searched begins with a space, so that its first word begins like the others.
    """
    literal = _SPECIAL.sub(r"\\\1", text)
    return f"% {literal}%" if len(text) < _TRIGRAM else f"%{literal}%"


async def plan_afresh(tx: Transaction) -> None:
    """Have this transaction's statements planned with the values they are given.

    Then `$1 IS NULL OR …` is no condition at all where nothing was asked for, and the planner
    sees which index serves the rest.
    """
    await tx.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
