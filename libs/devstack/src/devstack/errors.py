"""What can go wrong with the stack, in words for the person who started it."""

from __future__ import annotations

from collections import deque
from pathlib import Path

_TAIL_LINES = 20
"""About one terminal screen with a Java stack trace's useful top left in view."""


class StackError(Exception):
    """The stack can't do what was asked; the message says why and what to look at."""


class StartFailed(StackError):
    """A part ended or stayed silent instead of getting ready."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        """Quote the end of the part's log, since the reason is usually there."""
        super().__init__(f"{part}: {reason}\nThe last lines of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    if not log.exists():
        return "  (nothing was written)"
    with log.open(errors="replace") as lines:
        return "".join(f"  {line}" for line in deque(lines, _TAIL_LINES)) or "  (it is empty)"
