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
from benchmarks.report import number

NARROW = (1, 3, 4, 5, 7, 8)
"""The columns that a terminal shows beside the name."""


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
        """Return the middle of all runs; 0 when there is none, or one of them was wrong."""
        found = [run[figure] for run in self.runs if figure in run]
        return 0.0 if self.failure or not found else median(found)


@dataclass(slots=True)
class Board:
    """Systems that do the same, and Pedido among them."""

    unit: str
    """What they make so many of a second."""
    ours: Line
    theirs: Sequence[Line]
    time: str = "ms"
    """In which CPU time is told."""

    @property
    def lines(self) -> list[Line]:
        return [self.ours, *self.theirs]

    @property
    def measured(self) -> list[Line]:
        return [line for line in self.lines if line.runs and not line.failure]

    @property
    def speed(self) -> str:
        return f"{self.unit}s/s"

    @property
    def price(self) -> str:
        return f"CPU {self.time} an {self.unit}"

    @property
    def part(self) -> str:
        """How the name of a figure begins that tells the CPU time of one process."""
        return f"CPU {self.time} of "

    @property
    def headings(self) -> list[str]:
        ratio, split = ("Pedido : it", "aim"), "its own, servers'"
        return ["system", self.speed, "min to max", *ratio, self.price, split, "p50 ms", "p99 ms"]

    def ratio(self, line: Line) -> float | None:
        """Return how many times as fast Pedido is."""
        theirs, mine = line.median(self.speed), self.ours.median(self.speed)
        return mine / theirs if theirs and mine and line is not self.ours else None

    def far_enough(self, line: Line) -> bool:
        """Tell whether Pedido outruns it as it is to; where there is no ratio, nothing is asked."""
        ratio = self.ratio(line)
        return ratio is None or line.aim is None or ratio >= line.aim

    def cells(self, line: Line) -> list[str]:
        """Write a system's row."""
        speeds, ratio = [run[self.speed] for run in line.runs], self.ratio(line)
        parts = [name for name in line.runs[0] if name.startswith(self.part)]
        return [
            line.title,
            number(line.median(self.speed)),
            f"{number(min(speeds))} to {number(max(speeds))}",
            f"{ratio:.1f}" if ratio else "",
            f"≥ {line.aim:g}" if line.aim else "",
            number(line.median(self.price)),
            ", ".join(
                f"{name.removeprefix(self.part)} {number(line.median(name))}" for name in parts
            ),
            *(number(line.median(p)) if p in line.runs[0] else "" for p in ("p50 ms", "p99 ms")),
        ]


def as_table(board: Board) -> Table:
    """Draw what fits into a terminal."""
    table = Table("system")
    for column in NARROW:
        table.add_column(board.headings[column], justify="right")
    for line in board.measured:
        row = board.cells(line)
        table.add_row(line.name, *(row[column] for column in NARROW))
    return table


def as_markdown(boards: Sequence[Board], command: str) -> str:
    """Write the comparison with all that is needed to repeat it."""
    written = [line for board in boards for line in (*_rows(board), "")]
    lines = [line for board in boards for line in board.lines]
    written += [f"- {line.title}: no figure. {line.failure}" for line in lines if line.failure]
    written += [f"- {line.title}: {line.about}" for line in lines if line.about]
    where = machine.facts()
    on = f"{where['cores']} cores of {where['cpu']}, {where['memory']}, {where['system']}"
    code = f"Python {where['python']}, commit {machine.commit()}, {datetime.now(UTC).date()}."
    return "\n".join([*written, "", f"`{command}`: {on}, {code}"]) + "\n"


def _rows(board: Board) -> list[str]:
    if not board.measured:
        return []
    under = ["---", *["---:"] * (len(board.headings) - 1)]
    rows = [board.headings, under, *map(board.cells, board.measured)]
    return [f"| {' | '.join(row)} |" for row in rows]


def save(boards: Sequence[Board], command: str) -> Path:
    """Keep both forms; returns the Markdown's path."""
    keeping.FOLDER.mkdir(parents=True, exist_ok=True)
    found = {
        "command": command,
        "commit": machine.commit(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine.facts(),
        "systems": [_as_json(board, line) for board in boards for line in board.lines],
    }
    written = json.dumps(found, indent=2, ensure_ascii=False)
    (keeping.FOLDER / "compare.json").write_text(written + "\n")
    path = keeping.FOLDER / "compare.md"
    path.write_text(as_markdown(boards, command))
    return path


def _as_json(board: Board, line: Line) -> dict[str, object]:
    return {
        "name": line.name,
        "title": line.title,
        "unit": board.unit,
        "about": line.about,
        "aim": line.aim,
        "ratio": board.ratio(line),
        "failure": line.failure,
        "runs": [dict(run) for run in line.runs],
    }
