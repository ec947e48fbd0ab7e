"""The words of the suite: a fault, a row of faults, and one injection of a fault."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from chaos.town import Town


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault at one target at one time."""

    row: str
    fault: str
    target: str
    seconds: float
    """How long it lasts."""
    pause: float
    """How long nothing is broken afterwards."""
    seed: int

    def chance(self) -> random.Random:
        """Draw what the fault itself leaves open, the same in every run."""
        return random.Random(self.seed)  # noqa: S311  repeats itself on purpose

    @override
    def __str__(self) -> str:
        return f"{self.row} {self.fault}" + (f": {self.target}" if self.target else "")


class Act(Protocol):
    """Breaks something, lets it last, heals it; answers how many faults that were."""

    async def __call__(self, town: Town, injection: Injection, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to break something."""

    name: str
    act: Act
    times: int
    """In a run of the usual length."""
    seconds: tuple[float, float] = (0.0, 0.0)
    """How long it lasts, at least and at most."""
    targets: tuple[str, ...] = ("",)
    quick: int = 0
    """Times in a quick run."""
    cost: float = 0.0
    """Seconds that breaking and healing take beside."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the fault matrix."""

    id: str
    title: str
    faults: tuple[Fault, ...]
    pause: tuple[float, float] = (0.5, 2.0)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Service → what it runs with during this row."""
