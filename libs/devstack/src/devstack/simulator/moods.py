"""How an answer is spoiled: for a while for all calls, or for one payment by its token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from devstack.simulator import refusals
from devstack.simulator.refusals import Body, Refusal

GARBAGE = "<html>upstream answered in an unknown tongue</html>"


class Mood(StrEnum):
    """What goes wrong."""

    FINE = "fine"
    BROKEN = "broken"
    """500, and nothing was done."""
    BUSY = "busy"
    """429 with Retry-After, and nothing was done."""
    BUSY_SILENT = "busy-silent"
    """429 that does not say until when, and nothing was done."""
    GARBAGE = "garbage"
    """It was done, and the answer is a 200 that is no JSON."""
    TRUNCATED = "truncated"
    """It was done, and the answer is a 200 with one half of the JSON."""
    WRONG_TYPE = "wrong-type"
    """It was done, and the answer calls itself a web page."""
    WRONG_AMOUNT = "wrong-amount"
    """It was done, and the answer tells of another amount."""
    WRONG_CURRENCY = "wrong-currency"
    """It was done, and the answer tells of another currency."""
    LOST = "lost"
    """It was done, and the connection is cut without an answer."""
    RESET = "reset"
    """It was done, and the connection is cut in the middle of the answer."""
    DRIP = "drip"
    """It was done, and the answer comes at one byte a second."""
    HANGS = "hangs"
    """It was done, and the answer never comes."""


@dataclass
class Moods:
    """The mood that reigns now, and which calls it concerns."""

    mood: Mood = Mood.FINE
    path: str = "/"
    looks: bool = False
    """Whether reading is met with it, too."""

    def become(self, wanted: Body) -> None:
        """Change the mood; raises Refusal for one that is unknown."""
        try:
            self.mood = Mood(str(wanted.get("mood")))
        except ValueError:
            known = ", ".join(Mood)
            raise refusals.invalid(f"mood must be one of {known}.", param="mood") from None
        self.path = str(wanted.get("path", "/"))
        self.looks = wanted.get("looks") is True

    def of(self, path: str, *, look: bool = False) -> Mood:
        """Tell how a request to that path is met."""
        concerned = fnmatchcase(path, f"{self.path}*") and (self.looks or not look)
        return self.mood if concerned else Mood.FINE


def refusal_of(mood: Mood) -> Refusal | None:
    """Return what a call is answered that has no effect."""
    match mood:
        case Mood.BROKEN:
            return refusals.broken()
        case Mood.BUSY:
            return refusals.busy(retry_after=1)
        case Mood.BUSY_SILENT:
            return refusals.busy(retry_after=None)
        case _:
            return None


def distorted(mood: Mood, body: str) -> str:
    """Spoil an answer whose effect took place."""
    match mood:
        case Mood.GARBAGE:
            return GARBAGE
        case Mood.TRUNCATED:
            return body[: len(body) // 2]
        case Mood.WRONG_AMOUNT | Mood.WRONG_CURRENCY:
            return json.dumps(wrong(mood, json.loads(body)))
        case _:
            return body


def wrong(mood: Mood, told: Body) -> Body:
    """Tell of other money than there is, be it of one object or of a list."""
    if "data" in told:
        return told | {"data": [wrong(mood, each) for each in told["data"]]}
    change: dict[str, Any] = {}
    if mood is Mood.WRONG_AMOUNT and "amount" in told:
        change["amount"] = told["amount"] + 1
    if mood is Mood.WRONG_CURRENCY and "currency" in told:
        change["currency"] = "jpy" if told["currency"] != "jpy" else "usd"
    return told | change
