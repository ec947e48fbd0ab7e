"""What is broken when: drawn from a seed, so that the same seed breaks the same again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.fault import Fault, Injection, Row

USUAL_MINUTES = 50
"""The time for which each fault says how often it comes."""
_SETTLING = 24.0
"""Seconds in which a row's orders settle and are checked, as measured."""
_STARTING = 45.0
_SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class Planned:
    """A row with its injections, one after the other."""

    row: Row
    injections: tuple[Injection, ...]
    seconds: float
    """How long it is going to take, as far as is known before."""


def plan(
    rows: Sequence[Row], *, seed: int, minutes: float = USUAL_MINUTES, quick: bool = False
) -> list[Planned]:
    """Draw a run: more minutes bring every fault more often, each at least once."""
    scale = minutes / USUAL_MINUTES
    made = [_planned(row, seed, scale, quick=quick) for row in rows]
    return [planned for planned in made if planned.injections]


def seconds(plan: Sequence[Planned]) -> float:
    """Estimate how long a run takes."""
    return _STARTING + sum(planned.seconds for planned in plan)


def _planned(row: Row, seed: int, scale: float, *, quick: bool) -> Planned:
    chance = random.Random(f"{seed} {row.id}")  # noqa: S311  repeats itself on purpose
    drawn = [
        (fault, target)
        for fault in row.faults
        for target in _targets(fault, _times(fault, scale, quick=quick), chance)
    ]
    chance.shuffle(drawn)
    injections = tuple(
        Injection(
            row=row.id,
            fault=fault.name,
            target=target,
            seconds=round(chance.uniform(*fault.seconds), 2),
            pause=round(chance.uniform(*row.pause), 2),
            seed=chance.randrange(_SEEDS),
        )
        for fault, target in drawn
    )
    lasts = sum(each.seconds + each.pause for each in injections)
    lasts += sum(fault.cost for fault, _ in drawn)
    return Planned(row, injections, lasts + _SETTLING)


def _times(fault: Fault, scale: float, *, quick: bool) -> int:
    return fault.quick if quick else max(1, round(fault.times * scale))


def _targets(fault: Fault, times: int, chance: random.Random) -> list[str]:
    """Go round all targets, so that each has its share."""
    first = chance.randrange(len(fault.targets))
    return [fault.targets[(first + step) % len(fault.targets)] for step in range(times)]
