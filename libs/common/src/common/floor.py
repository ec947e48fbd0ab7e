"""Which rows of the outbox need not be looked at: those that are dead and not yet vacuumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WRITERS = """
SELECT virtualtransaction FROM pg_locks
 WHERE relation = 'outbox'::regclass AND mode = 'RowExclusiveLock'
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Names the transactions that may still announce something."""


@dataclass
class Floor:
    """The id below which nothing can appear any more: sound, where a plain cursor is not.

    A row may commit long after a higher id was read. Whoever announces takes a lock on the outbox
    before the ids, and keeps it until the transaction has ended and can be seen. So once all have
    ended who held one at some moment after an id was read, a poll from the old floor sees whatever
    there is below that id. (By xids, the floor would wait as well for every session that forgot a
    transaction of its own, and each poll would read all that died meanwhile.)
    """

    value: int = 0
    _proposed: int = 0
    _writers: frozenset[str] | None = None

    def look(self, highest: int, writers: Iterable[str]) -> None:
        """Learn which transactions may still commit; `highest` is an id that was read before."""
        if self._writers is None:
            self._proposed, self._writers = highest, frozenset(writers)
        else:
            self._writers &= frozenset(writers)

    def observe(self, first: int | None, *, ceiling: int | None) -> None:
        """Learn a poll's first id; `ceiling` is the first that must be read again, if any."""
        if self._writers is None or self._writers:
            return
        pending = [id_ - 1 for id_ in (first, ceiling) if id_ is not None]
        self.value = max(self.value, min([self._proposed, *pending]))
        self._writers = None
