"""What was compared, side by side: ratios first, for people and for other programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.table import Table

from benchmarks import keeping, machine
from benchmarks.figures import Values

PRICE = "CPU ms an order"
SPEED = "orders/s"
HEADINGS = (
    "system",
    SPEED,
    "min to max",
    "Pedido : it",
    "aim",
    PRICE,
    "its own, servers'",
    "p50 ms",
    "p99 ms",
)
NARROW = (1, 3, 4, 5, 7, 8)
"""The columns that a terminal shows."""


@dataclass(slots=True)
class Line:
    """One system's figures, or why there are none."""

    name: str
    title: str
    about: str = ""
    """Versions and settings."""
    aim: float | None = None
    runs: list[Values] = field(default_factory=list)
    failure: str = ""

    def median(self, figure: str) -> float:
        """Return the middle of all runs; 0 when one of them was wrong."""
        return 0.0 if self.failure or not self.runs else median(run[figure] for run in self.runs)

    def against(self, ours: "Line") -> float | None:
        """Return how many times as many orders a second Pedido completes."""
        theirs, mine = self.median(SPEED), ours.median(SPEED)
        return mine / theirs if theirs and mine and self is not ours else None

    def far_enough(self, ours: "Line") -> bool:
        """Tell whether Pedido outruns it as it is to; where there is no ratio, nothing is asked."""
        ratio = self.against(ours)
        return ratio is None or self.aim is None or ratio >= self.aim


def cells(lines: Sequence[Line], ours: Line) -> list[list[str]]:
    """Write one row a system that has figures."""
    return [_cells(line, ours) for line in lines if line.runs and not line.failure]


def _cells(line: Line, ours: Line) -> list[str]:
    speeds = [run[SPEED] for run in line.runs]
    ratio = line.against(ours)
    parts = (name for name in line.runs[0] if name.startswith("CPU ms of "))
    split = (f"{name.removeprefix('CPU ms of ')} {line.median(name):.2f}" for name in parts)
    return [
        line.title,
        f"{line.median(SPEED):.0f}",
        f"{min(speeds):.0f} to {max(speeds):.0f}",
        f"{ratio:.1f}" if ratio else "",
        f"≥ {line.aim:g}" if line.aim else "",
        f"{line.median(PRICE):.1f}",
        ", ".join(split),
        f"{line.median('p50 ms'):.0f}",
        f"{line.median('p99 ms'):.0f}",
    ]


def as_table(lines: Sequence[Line], ours: Line) -> Table:
    """Draw what fits into a terminal."""
    table = Table("system")
    for column in NARROW:
        table.add_column(HEADINGS[column], justify="right")
    for line in lines:
        if line.runs and not line.failure:
            row = _cells(line, ours)
            table.add_row(line.name, *(row[column] for column in NARROW))
    return table


def as_markdown(lines: Sequence[Line], ours: Line, command: str) -> str:
    """Write the comparison with all that is needed to repeat it."""
    rows = [list(HEADINGS), ["---", *["---:"] * (len(HEADINGS) - 1)], *cells(lines, ours)]
    failed = [f"- {line.title}: no figure. {line.failure}" for line in lines if line.failure]
    about = [f"- {line.title}: {line.about}" for line in lines if line.about]
    where = machine.facts()
    on = f"{where['cores']} cores of {where['cpu']}, {where['memory']}, {where['system']}"
    code = f"Python {where['python']}, commit {machine.commit()}, {datetime.now(UTC).date()}."
    table = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*table, "", *failed, *about, "", f"`{command}`: {on}, {code}"]) + "\n"


def save(lines: Sequence[Line], ours: Line, command: str) -> Path:
    """Keep both forms; returns the Markdown's path."""
    keeping.FOLDER.mkdir(parents=True, exist_ok=True)
    found = {
        "command": command,
        "commit": machine.commit(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine.facts(),
        "systems": [_as_json(line, ours) for line in lines],
    }
    (keeping.FOLDER / "compare.json").write_text(
        json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    )
    path = keeping.FOLDER / "compare.md"
    path.write_text(as_markdown(lines, ours, command))
    return path


def _as_json(line: Line, ours: Line) -> dict[str, object]:
    return {
        "name": line.name,
        "title": line.title,
        "about": line.about,
        "aim": line.aim,
        "ratio": line.against(ours),
        "failure": line.failure,
        "runs": [dict(run) for run in line.runs],
    }
