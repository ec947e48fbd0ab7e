"""How the whole gateway misbehaves for a while, whatever the payment method."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from devstack.simulator import refusals
from devstack.simulator.refusals import Body

GARBAGE = "<html>upstream answered in an unknown tongue</html>"


class Mood(StrEnum):
    """What goes wrong."""

    FINE = "fine"
    BROKEN = "broken"
    """500, and nothing was done."""
    BUSY = "busy"
    """429 with Retry-After, and nothing was done."""
    GARBAGE = "garbage"
    """It was done, and the answer is a 200 that is no JSON."""
    WRONG_AMOUNT = "wrong-amount"
    """It was done, and the answer tells of another amount."""


@dataclass
class Moods:
    """The mood that reigns now, and which part of the API it concerns."""

    mood: Mood = Mood.FINE
    path: str = "/"

    def become(self, wanted: Body) -> None:
        """Change the mood; raises Refusal for one that is unknown."""
        try:
            self.mood = Mood(str(wanted.get("mood")))
        except ValueError:
            known = ", ".join(Mood)
            raise refusals.invalid(f"mood must be one of {known}.", param="mood") from None
        self.path = str(wanted.get("path", "/"))

    def of(self, path: str) -> Mood:
        """Tell how a request to that path is met."""
        return self.mood if path.startswith(self.path) else Mood.FINE


def distorted(mood: Mood, body: str) -> str:
    """Spoil an answer whose effect took place."""
    if mood is Mood.GARBAGE:
        return GARBAGE
    if mood is Mood.WRONG_AMOUNT:
        answer = json.loads(body)
        return json.dumps(
            answer | {"amount": answer["amount"] + 1} if "amount" in answer else answer
        )
    return body
