"""A row's figures over several runs: the median speaks, the spread says how much to believe it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

from typing_extensions import override

Values: TypeAlias = Mapping[str, float]
"""Name of a figure, as it is printed → its value."""


@dataclass(frozen=True, slots=True)
class Aim:
    """How far a figure must go."""

    bound: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    @override
    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One id of the table."""

    id: str
    what: str
    aims: Mapping[str, Aim]
    """Figures that have to get somewhere; the others explain them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row with what each run gave."""

    row: Row
    runs: list[Values] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for run in self.runs for name in run))

    @property
    def missed(self) -> list[str]:
        """Name the figures that did not get as far as they have to; none at all is for each run."""
        return [
            name
            for name, aim in self.row.aims.items()
            if name not in self.names
            or not aim.met(self.median(name) if aim.bound else self.values(name)[-1])
        ]

    def values(self, name: str) -> Sequence[float]:
        return sorted(run[name] for run in self.runs if name in run)

    def median(self, name: str) -> float:
        return median(self.values(name))


def percentile(values: Sequence[float], percent: float) -> float:
    """Pick by nearest rank: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]
