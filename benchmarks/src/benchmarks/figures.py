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


@dataclass(slots=True)
class Row:
    """One id of the table, with what each run gave."""

    id: str
    what: str
    aims: Mapping[str, Aim]
    """Figures that have to get somewhere; the others explain them."""
    runs: list[Values] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for run in self.runs for name in run))

    def values(self, name: str) -> Sequence[float]:
        return sorted(run[name] for run in self.runs)

    def median(self, name: str) -> float:
        return median(self.values(name))

    def as_json(self) -> dict[str, object]:
        aims = {name: str(aim) for name, aim in self.aims.items()}
        return {
            "id": self.id,
            "what": self.what,
            "aims": aims,
            "runs": [dict(r) for r in self.runs],
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """Pick by nearest rank: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]
