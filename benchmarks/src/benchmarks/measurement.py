"""What can be measured: one load that gives the figures of one or more rows, and its size."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.figures import Row, Values
from benchmarks.rig import Rig


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it; each measurement uses what it has a use for."""

    orders: int = 5000
    seconds: float = 30.0
    events: int = 200_000
    steps: tuple[int, ...] = ()
    """Values that one run goes through: batch sizes, or numbers of rows."""


Found: TypeAlias = Mapping[str, Values]
"""Id of a row → its figures of one run."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A load; its first row's id is its name."""

    rows: tuple[Row, ...]
    run: Callable[[Rig, Size], Awaitable[Found]]
    lasts: Callable[[Size], float]
    """Seconds of one run on two cores, to say what to expect; the checker's time is in it."""
    size: Size = field(default_factory=Size)
    runs: int = 3
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the services, beside or instead of what a user gets."""

    @property
    def name(self) -> str:
        return self.rows[0].id

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(row.id for row in self.rows)
