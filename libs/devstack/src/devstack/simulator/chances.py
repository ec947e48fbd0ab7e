"""What befalls one call in a hundred, or thirty: rolled for each call from a seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NoReturn

from devstack.simulator import refusals
from devstack.simulator.gateway import Answer, Operation
from devstack.simulator.keys import Outcome
from devstack.simulator.moods import Mood
from devstack.simulator.refusals import Body

_P99 = 2.326
"""Standard deviations from the median to the 99th percentile."""

_NAMES = ("errors", "hangs", "lost")


class Mishap(StrEnum):
    """What befalls one call."""

    NONE = "none"
    PROXY = "proxy"
    """500 of something in front: nothing done, nothing kept for the key."""
    BROKEN = "broken"
    """500, kept for its key; nothing done."""
    BROKEN_AFTER = "broken-after"
    """500, kept for its key; done all the same."""
    HANGS = "hangs"
    """Done, and the answer never comes."""
    LOST = "lost"
    """Done, and the connection is cut."""


_ERRORS = (Mishap.PROXY, Mishap.BROKEN, Mishap.BROKEN_AFTER)


@dataclass
class Chances:
    """How likely each kind of trouble is, and how long answers take; by default all is well."""

    errors: float = 0.0
    hangs: float = 0.0
    lost: float = 0.0
    median: float = 0.0
    """Seconds that half of the answers take at least."""
    p99: float = 0.0
    _dice: random.Random = field(default_factory=random.Random)

    def become(self, wanted: Body) -> None:
        """Change the odds; what is left out does not happen.

        `{"errors": 0.3, "hangs": 0.05, "lost": 0.02, "seed": 1, "median": 0.01, "p99": 0.2}`
        """
        given = {name: wanted.get(name, 0.0) for name in (*_NAMES, "median", "p99")}
        for name, value in given.items():
            if not isinstance(value, int | float) or value < 0:
                raise refusals.invalid(f"{name} must be a number from 0.", param=name)
        if sum(given[name] for name in _NAMES) > 1:
            raise refusals.invalid("No more than everything can go wrong.", param="errors")
        self.errors, self.hangs, self.lost = (given[name] for name in _NAMES)
        self.median, self.p99 = given["median"], given["p99"]
        self._dice = random.Random(wanted.get("seed"))  # noqa: S311  chance, not secrecy

    def roll(self) -> Mishap:
        """Tell what befalls the next call."""
        rolled = self._dice.random()
        if rolled < self.errors:
            return self._dice.choice(_ERRORS)
        if rolled < self.errors + self.hangs:
            return Mishap.HANGS
        return Mishap.LOST if rolled < self.errors + self.hangs + self.lost else Mishap.NONE

    def latency(self) -> float:
        """Tell how long the next answer takes: log-normal, as answers are."""
        if not self.median:
            return 0.0
        spread = math.log(max(self.p99, self.median) / self.median) / _P99
        return self._dice.lognormvariate(math.log(self.median), spread)


def hampered(operation: Operation, mishap: Mishap) -> Operation:
    """Let an operation fail as the mishap has it, under its key."""
    if mishap is Mishap.BROKEN:
        return _fail
    if mishap is not Mishap.BROKEN_AFTER:
        return operation

    def done_and_failed(key: str | None) -> Answer:
        operation(key)
        return _fail(key)

    return done_and_failed


def _fail(_key: str | None) -> NoReturn:
    raise refusals.broken()


def on_its_way(outcome: Outcome, mishap: Mishap, latency: float) -> Outcome:
    """Let an answer take its time, or never arrive."""
    mood = {Mishap.HANGS: Mood.HANGS, Mishap.LOST: Mood.LOST}.get(mishap, outcome.mood)
    return replace(outcome, mood=mood, delay=outcome.delay + latency)
